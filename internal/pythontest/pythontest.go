// Package pythontest runs Python programs in tests.
package pythontest

import (
	"bytes"
	"os/exec"
	"testing"
)

// An Interpreter is a Python that has the modules that a test needs.
type Interpreter struct{ path string }

// has exits with 0 if all modules are installed. It does not import them, which can take seconds.
const has = "import importlib.util as u, sys\nsys.exit(any(u.find_spec(m.strip()) is None for m in sys.argv[1].split(',')))"

// Find returns a Python that has all the modules, given as "msgpack, numpy". If there is none, it
// skips the test with a message that install is missing.
func Find(t testing.TB, modules, install string) Interpreter {
	t.Helper()
	for _, path := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(path, "-c", has, modules).Run() == nil {
			return Interpreter{path}
		}
	}
	t.Skipf("no python3 with %s: install %s to run this", modules, install)
	return Interpreter{}
}

// Run runs a program with arguments and returns its standard output. If the program fails, the test fails and
// shows its standard error. The program may be "-c" and its text. Python writes no byte code
// files.
func (i Interpreter) Run(t testing.TB, args ...string) string {
	t.Helper()
	cmd := exec.Command(i.path, append([]string{"-B"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", i.path, err, out.Bytes(), errs.Bytes())
	}
	return out.String()
}
