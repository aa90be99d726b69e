package main

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"learnedopt/baselines"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// open opens a program. It skips the test if there are no data sets.
func open(t *testing.T, p program, seed uint64) trainable {
	t.Helper()
	m, err := p.open(seed, os.Getenv(tasks.DataDirEnv))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("%v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestGradients compares the derivative of each program's loss along directions with central differences: along the gradient itself,
// and along random directions, which see every tensor. After five steps no start is special any more. Losses of float32 programs are
// known to about 1e-7, and the differences are about 2e-4 of the loss; kinks of ReLU and of pooling weigh more, most of all where the bias of a convolution crosses 0 under all black pixels.
func TestGradients(t *testing.T) {
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			switch m := open(t, p, 1).(type) {
			case *model[float32]:
				checkGradient(t, m, 2e-4, 0.01)
			case *model[float64]:
				checkGradient(t, m, 1e-5, 1e-6)
			}
		})
	}
}

// checkGradient takes differences over a distance that changes the loss by about its part h, and tolerates an error of that part
// of the gradient's norm.
func checkGradient[F float32 | float64](t *testing.T, m *model[F], h, tolerance float64) {
	t.Helper()
	if _, err := m.train(baselines.Adam{LearningRate: 0.01}, 5); err != nil {
		t.Fatal(err)
	}
	if m.draw != nil {
		m.draw(m.theta, 5)
	}
	n := len(m.theta)
	grad, scratch, moved := make([]F, n), make([]F, n), make([]F, n)
	loss, gsize := m.lossGrad(grad, m.theta), 0.0
	for _, g := range grad {
		gsize += float64(g) * float64(g)
	}
	gsize = math.Sqrt(gsize)
	if !(gsize > 0) || m.layout.Len() != n {
		t.Fatalf("a gradient of norm %v, a layout of %d coordinates for %d", gsize, m.layout.Len(), n)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	// A direction for each tensor alone, so that no large one hides a small one, and the gradient.
	for k, tensor := range append(m.layout.Tensors(), optimizer.Tensor{Name: "all", Shape: []int{n}}) {
		direction, norm, want, part := make([]float64, n), 0.0, 0.0, 0.0
		for i := tensor.From; i < tensor.From+tensor.Len(); i++ {
			direction[i] = float64(grad[i])/gsize + 0.3*rng.NormFloat64()/math.Sqrt(float64(tensor.Len()))
			norm += direction[i] * direction[i]
			part += float64(grad[i]) * float64(grad[i])
		}
		norm = math.Sqrt(norm)
		at := func(s float64) float64 {
			for i := range moved {
				moved[i] = m.theta[i] + F(s*direction[i]/norm)
			}
			return m.lossGrad(scratch, moved)
		}
		for i, d := range direction {
			want += d / norm * float64(grad[i])
		}
		step := h * math.Abs(loss) / max(math.Abs(want), 0.1*gsize)
		got := (at(step) - at(-step)) / (2 * step)
		if part = math.Sqrt(part); math.Abs(got-want) > tolerance*max(part, 0.1*gsize) {
			t.Errorf("tensor %d (%s): the difference is %v, the gradient says %v, of a norm of %v", k, tensor.Name, got, want, part)
		}
	}
}

// TestScoresFall runs the beginning of each program with the learned optimizer and with Adam: both lower the score.
func TestScoresFall(t *testing.T) {
	learned, err := metaopt.Pretrained("general")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			for _, c := range rules(learned)[:4] {
				steps := min(p.steps, 60)
				scores, err := open(t, p, 2).train(c.rule, steps)
				if err != nil || len(scores) != steps {
					t.Fatalf("%s: %d scores, %v", c.name, len(scores), err)
				}
				begin, end := mean(scores[:5]), mean(scores[steps-10:])
				if c.name != "Adam 0.001" && c.name != "Adam 0.003" && !(end < 0.97*begin) {
					t.Errorf("%s: scores from %v to %v: %.3g", c.name, begin, end, scores)
				}
			}
			// Equal seeds give equal runs, and others do not.
			same := func(seed uint64) float64 {
				scores, err := open(t, p, seed).train(baselines.Adam{LearningRate: 0.001}, 3)
				if err != nil {
					t.Fatal(err)
				}
				return mean(scores)
			}
			if a, b, c := same(3), same(3), same(4); a != b || a == c {
				t.Errorf("seeds 3, 3 and 4 give %v, %v and %v", a, b, c)
			}
		})
	}
}

// TestTable prints two short programs: ratios are to the best Adam, and a run that diverges is infinitely bad.
func TestTable(t *testing.T) {
	short := []program{curve, logisticScaled}
	for i := range short {
		short[i].steps = 20
	}
	learned, err := load("mlp")
	if err != nil {
		t.Fatal(err)
	}
	contenders := append(rules(learned), contender{"wild", baselines.SGD{LearningRate: 1e30}})
	var out bytes.Buffer
	if err := printTable(&out, short, contenders, 2, ""); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if lines[0] != "| program | steps | score | mlp | Adam 0.001 | Adam 0.003 | Adam 0.01 | Adam 0.03 | wild | ratio |" || lines[1] != "|---|---:|---|---:|---:|---:|---:|---:|---:|---:|" {
		t.Errorf("the table begins with\n%s\n%s", lines[0], lines[1])
	}
	product, worst := 1.0, ""
	largest := 0.0
	for i, p := range short {
		means, err := p.means(contenders, 2, "")
		if err != nil {
			t.Fatal(err)
		}
		best := math.Inf(1)
		for _, m := range means[1:] {
			best = min(best, m)
		}
		if p.name == "curve" && !math.IsInf(means[5], 1) || !(best < math.Inf(1)) {
			t.Errorf("means %v", means)
		}
		product *= means[0] / best
		if means[0]/best > largest {
			largest, worst = means[0]/best, p.name
		}
		fields := strings.Split(lines[i+2], "|")
		if len(fields) != 12 || fields[1] != " "+p.name+" " || fields[2] != " 20 " || fields[10] != " "+format(means[0]/best)+" " {
			t.Errorf("line %q, want the ratio %v", lines[i+2], means[0]/best)
		}
	}
	if want := "ratios to the best Adam: geometric mean " + format(math.Sqrt(product)) + ", largest " + format(largest) + " (" + worst + ")"; lines[5] != want {
		t.Errorf("the last line is %q, want %q", lines[5], want)
	}
	// Programs without data are skipped, and say what to do.
	out.Reset()
	short[1] = mnistMLP
	if err := printTable(&out, short, contenders, 1, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); strings.Contains(s, "| mnist-64") || !strings.Contains(s, "skipped: mnist-64: tasks: data set mnist not found") || !strings.Contains(s, "metaopt data fetch mnist") || !strings.Contains(s, "(curve)") {
		t.Errorf("without data:\n%s", s)
	}
	if err := printTable(&out, short[1:], contenders, 1, t.TempDir()); err != nil || !strings.Contains(out.String(), "nothing ran\n") {
		t.Errorf("without anything: %v", err)
	}
	if err := printTable(&out, short, contenders, 0, ""); err == nil {
		t.Error("no error for 0 runs")
	}
	if chosen, err := choose([]string{"curve", "cartpole"}, 150); err != nil || chosen[0].steps != 150 || chosen[1].steps != cartPole.steps || curve.steps != 300 {
		t.Errorf("at most 150 steps: %+v, %v", chosen, err)
	}
	if chosen, err := choose(nil, 0); err != nil || len(chosen) != len(programs) || chosen[2].steps != programs[2].steps {
		t.Errorf("all: %+v, %v", chosen, err)
	}
	if _, err := choose(nil, -1); err == nil {
		t.Error("no error for -1 steps")
	}
	if _, err := choose([]string{"curve", "curves"}, 0); err == nil || !strings.Contains(err.Error(), "-help lists them") {
		t.Errorf("error %v", err)
	}
}
