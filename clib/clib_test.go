package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"learnedopt/internal/clibtest"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
)

const (
	dim   = 21
	steps = 12
)

// gradient is the one of testdata/test.c.
func gradient(step, i int) float32 { return float32((step*7+i*5)%11-5) / float32(1+i%3) }

func layoutOfTest(t *testing.T) optimizer.Layout {
	t.Helper()
	layout, err := optimizer.NewLayout(
		optimizer.Tensor{Name: "w", Shape: []int{3, 4}, Kind: optimizer.Matrix, OutputAxis: 1},
		optimizer.Tensor{Name: "b", Shape: []int{4}, Kind: optimizer.Bias},
		optimizer.Tensor{Shape: []int{0}}, optimizer.Tensor{Shape: []int{5}})
	if err != nil {
		t.Fatal(err)
	}
	return layout
}

// expected returns the parameters after the steps of testdata/test.c, in Go.
func expected[F float32 | float64](t *testing.T, o *metaopt.Optimizer, step func(r *metaopt.Run, theta, grad []F) error) string {
	t.Helper()
	run := o.Start(layoutOfTest(t))
	run.SetTotal(steps)
	theta, grad := make([]F, dim), make([]F, dim)
	for i := range theta {
		theta[i] = 0.25
	}
	for k := range steps {
		for i := range grad {
			grad[i] = F(gradient(k, i))
		}
		if err := step(run, theta, grad); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprint(theta)
}

// A program in C, compiled with AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer, gets the bits that Go computes,
// with rules that read gradients alone and with the shipped one that reads tensors.
func TestFromC(t *testing.T) {
	cc := clibtest.Compiler(t)
	library := clibtest.Build(t, ".")
	program := filepath.Join(t.TempDir(), "test")
	out, err := exec.Command(cc, "-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover",
		"-I.", "-o", program, filepath.Join("testdata", "test.c"), library, "-Wl,-rpath,"+filepath.Dir(library), "-pthread", "-lm").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, file := range []string{"rnnprop", "orthogonal"} {
		path := filepath.Join("..", "metaopt", "testdata", "corpus", file+".mopt")
		cmd := exec.Command(program, path, "general")
		cmd.Env = append(os.Environ(), "ASAN_OPTIONS=detect_leaks=1:handle_segv=0:allow_user_segv_handler=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", file, err, out)
		}
		o, err := metaopt.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		general, err := metaopt.Pretrained("general")
		if err != nil {
			t.Fatal(err)
		}
		want := []string{
			"f32 " + expected(t, o, (*metaopt.Run).Step), "f64 " + expected(t, o, (*metaopt.Run).Step64),
			"shipped " + expected(t, general, (*metaopt.Run).Step), "ok",
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if len(lines) != 5 || lines[0] != fmt.Sprintf("reads %d", map[bool]int{true: 1}[o.Network.Eyes()]) {
			t.Fatalf("%s: the program prints\n%s", file, out)
		}
		for i, line := range lines[1:] {
			if got := parsed(t, line); got != want[i] {
				t.Errorf("%s: from C: %s\nin Go:  %s", file, got, want[i])
			}
		}
	}
}

// parsed returns a line of hexadecimal numbers as Go prints them.
func parsed(t *testing.T, line string) string {
	t.Helper()
	words := strings.Fields(line)
	if len(words) == 1 {
		return words[0]
	}
	bits := 32
	if words[0] == "f64" {
		bits = 64
	}
	for i, word := range words[1:] {
		x, err := strconv.ParseFloat(word, bits)
		if err != nil {
			t.Fatal(err)
		}
		if bits == 32 {
			words[i+1] = fmt.Sprint(float32(x))
		} else {
			words[i+1] = fmt.Sprint(x)
		}
	}
	return words[0] + " [" + strings.Join(words[1:], " ") + "]"
}

// What the header declares is what the library exports.
func TestHeader(t *testing.T) {
	names := func(path, pattern string) (all []string) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(data), -1) {
			all = append(all, m[1])
		}
		slices.Sort(all)
		return all
	}
	declared, exported := names("metaopt.h", `(?m)^(?:int|void) (metaopt_\w+)\(`), names("exports.go", `(?m)^//export (metaopt_\w+)$`)
	if len(declared) < 15 || !slices.Equal(declared, exported) {
		t.Errorf("metaopt.h declares %v\nexports.go has %v", declared, exported)
	}
}

// A run that a thread uses is refused to others, and is free again when the thread has finished, or failed.
func TestOneThreadARun(t *testing.T) {
	o, err := metaopt.Pretrained("mlp")
	if err != nil {
		t.Fatal(err)
	}
	handle := handles.add(start(o, optimizer.Flat(3)))
	defer handles.remove(handle)
	err = use(handle, func(*run) error {
		return use(handle, func(*run) error { t.Error("two threads use the run"); return nil })
	})
	if result(err) != isInvalid || !strings.Contains(err.Error(), "in use by another thread") {
		t.Error(err)
	}
	err = guarded(func() error { return use(handle, func(*run) error { panic("a fault") }) })
	if result(err) != isInvalid || !strings.Contains(err.Error(), "a fault") {
		t.Errorf("a panic is the error %v", err)
	}
	if err := use(handle, func(r *run) error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestResults(t *testing.T) {
	for want, err := range map[int]error{
		ok: nil, isInvalid: fmt.Errorf("x: %w", invalidf("y")), diverged: fmt.Errorf("x: %w", &optimizer.DivergedError{}), failed: errors.New("x"),
	} {
		if got := result(err); got != want {
			t.Errorf("%v is the result %d, want %d", err, got, want)
		}
	}
}
