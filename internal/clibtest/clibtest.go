// Package clibtest builds the library for C in tests.
package clibtest

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Compiler returns the C compiler that cgo uses. If cgo is off or there is no compiler, it skips the test with a message that
// says what to install.
func Compiler(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "env", "CGO_ENABLED", "CC").Output()
	if err != nil {
		t.Fatalf("go env: %v", err)
	}
	enabled, cc, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if enabled != "1" || runtime.GOOS != "linux" {
		t.Skipf("CGO_ENABLED is %s on %s: the library for C is tested on Linux with cgo", enabled, runtime.GOOS)
	}
	if _, err := exec.LookPath(cc); err != nil {
		t.Skipf("%v: install gcc and libc6-dev to run this", err)
	}
	return cc
}

// Build returns the path of a library that it builds from the package in folder. It skips the test as Compiler does.
func Build(t testing.TB, folder string) string {
	t.Helper()
	Compiler(t)
	path := filepath.Join(t.TempDir(), "libmetaopt.so")
	if out, err := exec.Command("go", "build", "-buildmode=c-shared", "-o", path, folder).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}
