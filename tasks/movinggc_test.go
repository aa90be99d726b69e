package tasks

import (
	"os"
	"strings"
	"testing"
)

// Older versions of the module panic at start on this version of Go. Versions before the
// first tag are ordered by the time stamp that they contain.
const (
	movingGC        = "go4.org/unsafe/assume-no-moving-gc"
	movingGCOldest  = "v0.0.0-20231121144256-b99613f794b6"
	movingGCExplain = movingGC + " must stay a direct requirement of at least " + movingGCOldest +
		": older ones make every program that imports Gorgonia panic at start on new versions of Go. Run `go get " + movingGC + "@" + movingGCOldest + "`"
)

func TestMovingGC(t *testing.T) {
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if fault := movingGCFault(string(mod)); fault != "" {
		t.Error(fault)
	}
}

// movingGCFault returns the fault of a go.mod, "" if it has none.
func movingGCFault(mod string) string {
	for line := range strings.Lines(mod) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) < 2 || fields[0] != movingGC {
			continue
		}
		switch {
		case len(fields) > 2:
			return "go.mod has it marked as indirect: " + movingGCExplain
		case fields[1] < movingGCOldest && strings.HasPrefix(fields[1], "v0.0.0-"):
			return "go.mod has " + fields[1] + ": " + movingGCExplain
		}
		return ""
	}
	return "go.mod does not have it: " + movingGCExplain
}

func TestMovingGCFault(t *testing.T) {
	for mod, bad := range map[string]bool{
		"require (\n\t" + movingGC + " " + movingGCOldest + "\n)":             false,
		"require " + movingGC + " v0.0.0-20240101000000-aaaaaaaaaaaa\n":       false,
		"require " + movingGC + " v0.1.0\n":                                   false,
		"require (\n\t" + movingGC + " v0.0.0-20220617031537-928513b29760\n)": true,
		"require (\n\t" + movingGC + " " + movingGCOldest + " // indirect\n)": true,
		"require example.com/other v1.0.0\n":                                  true,
	} {
		if got := movingGCFault(mod) != ""; got != bad {
			t.Errorf("go.mod %q: fault %v, want %v", mod, got, bad)
		}
	}
}
