package command

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// small are flags for a training of a fraction of a second.
var small = []string{"--batch", "4", "--steps", "10", "--unroll", "5", "--hidden", "4", "--valid-runs", "2", "--valid-every", "5",
	"--runs", "3", "--tune-runs", "2"}

// answer is the exit code and the output of a command line.
type answer struct {
	code           int
	stdout, stderr string
}

// cli runs a command line in this process.
func cli(ctx context.Context, args ...string) answer {
	var stdout, stderr bytes.Buffer
	code := run(ctx, args, &stdout, &stderr)
	return answer{code, stdout.String(), stderr.String()}
}

// succeed runs a command line that must succeed.
func succeed(t *testing.T, args ...string) answer {
	t.Helper()
	a := cli(t.Context(), args...)
	if a.code != exitOK {
		t.Fatalf("metaopt %s: exit %d\n%s%s", strings.Join(args, " "), a.code, a.stdout, a.stderr)
	}
	return a
}

// fail runs a command line that must fail with a code, and with one line on stderr that contains all words.
func fail(t *testing.T, code int, args []string, words ...string) {
	t.Helper()
	a := cli(t.Context(), args...)
	if a.code != code || a.stdout != "" || strings.Count(a.stderr, "\n") != 1 || !strings.HasPrefix(a.stderr, "metaopt") {
		t.Errorf("metaopt %s: exit %d, want %d and one line on stderr alone\nstdout: %s\nstderr: %s",
			strings.Join(args, " "), a.code, code, a.stdout, a.stderr)
	}
	for _, word := range words {
		if !strings.Contains(a.stderr, word) {
			t.Errorf("metaopt %s: %q does not say %q", strings.Join(args, " "), a.stderr, word)
		}
	}
}

// trained returns the file of a short training's optimizer. Equal flags give the same file.
func trained(t *testing.T, flags ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	args := append([]string{"meta-train", "--meta-steps", "5", "--out", dir}, small...)
	succeed(t, append(args, flags...)...)
	return filepath.Join(dir, optimizerFile)
}

func readJSON(t *testing.T, data string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(data), &v); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, data)
	}
	return v
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// lines returns the JSON objects in a log.
func lines(t *testing.T, path string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(readFile(t, path)) {
		all = append(all, readJSON(t, line))
	}
	return all
}

var (
	buildOnce sync.Once
	buildDir  string
	buildErr  error
)

// binary returns the path of the real program.
func binary(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the program; not with -short")
	}
	buildOnce.Do(func() {
		if buildDir, buildErr = os.MkdirTemp("", "metaopt"); buildErr != nil {
			return
		}
		out, err := exec.Command("go", "build", "-o", filepath.Join(buildDir, "metaopt.exe"), "../cmd/metaopt").CombinedOutput()
		if err != nil {
			buildErr = fmt.Errorf("%w: %s", err, out)
		}
	})
	if buildErr != nil {
		t.Fatal(buildErr)
	}
	return filepath.Join(buildDir, "metaopt.exe")
}

func TestMain(m *testing.M) {
	code := m.Run()
	if buildDir != "" {
		os.RemoveAll(buildDir)
	}
	os.Exit(code)
}
