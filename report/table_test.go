package report

import (
	"bytes"
	"strings"
	"testing"
)

func TestTableRejectsRaggedRows(t *testing.T) {
	var b bytes.Buffer
	err := Table(&b, []string{"rule", "loss"}, [][]string{{"Adam", "1"}, {"SGD"}})
	if err == nil || !strings.Contains(err.Error(), "row 1") || b.Len() != 0 {
		t.Errorf("error %v after %d bytes", err, b.Len())
	}
}

// Cells are printed as they are: without capital letters, wrapping or
// trimming.
func TestTableKeepsCells(t *testing.T) {
	long := strings.Repeat("very long name ", 10) + "end"
	var b bytes.Buffer
	if err := Table(&b, []string{"rule_name", "loss f"}, [][]string{{long, "NaN"}, {"θ", "-1e-05"}, {"", ""}}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	width := len(long)
	want := []string{
		"rule_name" + strings.Repeat(" ", width-9) + "  loss f",
		long + "     NaN",
		"θ" + strings.Repeat(" ", width-1) + "  -1e-05",
		"",
		"",
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", b.String(), strings.Join(want, "\n"))
	}
}

func TestNumericCells(t *testing.T) {
	for cell, want := range map[string]bool{
		"": true, "0.154 ± 0.01": true, "-3e-05": true, "+Inf": true, "NaN": true, "12/20": true, "–": true,
		".5": true, "<0.001": true, "Adam": false, "-": true, "learned 2": false, "+": false,
	} {
		if got := numeric(cell); got != want {
			t.Errorf("numeric(%q) = %v", cell, got)
		}
	}
}
