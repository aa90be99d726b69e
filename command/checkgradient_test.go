package command

import (
	"encoding/json"
	"strings"
	"testing"

	"learnedopt/metatrain/adjoint"
)

// TestCheckGradient expects a row for every window length, on the terminal and in JSON. The last row has cosine 1.
func TestCheckGradient(t *testing.T) {
	args := []string{"check-gradient", "--hidden", "3", "--batch", "2", "--steps", "6", "--unrolls", "2,3", "--episodes", "2"}
	out := succeed(t, args...)
	if !strings.Contains(out.stdout, "quadratic-uniform dims=10 batch=2") {
		t.Errorf("no task in %s", out.stdout)
	}
	out = succeed(t, append(args, "--json", "-")...)
	var r adjoint.Report
	if err := json.Unmarshal([]byte(out.stdout), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Unrolls) != 3 || r.Unrolls[0].Unroll != 2 || r.Unrolls[2].Unroll != 6 || r.Episodes != 2 {
		t.Fatalf("report %+v", r)
	}
	if c := r.Unrolls[2].SecondDerivatives.Cosine; c < 0.999999 {
		t.Errorf("the whole gradient has cosine %v with itself", c)
	}
	if c := r.Unrolls[0].FirstOrder.Cosine; !(c < 0.999999) {
		t.Errorf("truncated to 2 of 6 steps, the cosine is %v", c)
	}
	fail(t, exitUsage, []string{"check-gradient", "--unrolls", "7"}, "windows of 7", "divisible")
}

func TestBenchJSON(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a few seconds; not with -short")
	}
	out := succeed(t, "bench", "--each", "1ms", "--quiet", "--json", "-")
	if out.stderr != "" {
		t.Errorf("stderr: %s", out.stderr)
	}
	r := readJSON(t, out.stdout)
	for _, key := range strings.Fields("meta_step_s update_coordinates_per_s loss_grad_s fma_peak_gflops forward_gflops lstm_gflops simd cores") {
		if _, ok := r[key]; !ok {
			t.Errorf("no key %q", key)
		}
	}
	for _, key := range []string{"quadratic", "mnist"} {
		if v, ok := r["meta_step_s"].(map[string]any)[key].(float64); !ok || v <= 0 {
			t.Errorf("meta_step_s.%s is %v", key, v)
		}
	}
}
