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
	cc, missing := Find()
	if missing != "" {
		t.Skip(missing)
	}
	return cc
}

// Find returns the C compiler that cgo uses, or what is missing.
func Find() (cc, missing string) {
	out, err := exec.Command("go", "env", "CGO_ENABLED", "CC").Output()
	if err != nil {
		return "", "go env: " + err.Error()
	}
	enabled, cc, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if enabled != "1" || runtime.GOOS != "linux" {
		return "", "the library for C is tested on Linux with cgo: CGO_ENABLED is " + enabled + " on " + runtime.GOOS
	}
	if _, err := exec.LookPath(cc); err != nil {
		return "", err.Error() + ": install gcc and libc6-dev to run this"
	}
	return cc, ""
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
