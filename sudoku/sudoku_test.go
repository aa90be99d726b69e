package sudoku

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// valid reports whether every unit of a full board has every digit.
func valid(board []uint8) bool {
	n, _ := Size(len(board))
	side := n * n
	s := &search{n: n}
	seen := map[[3]int]bool{}
	for i, v := range board {
		r, c, b := s.units(i)
		for kind, unit := range [...]int{r, c, b} {
			key := [3]int{kind, unit, int(v)}
			if v < 1 || int(v) > side || seen[key] {
				return false
			}
			seen[key] = true
		}
	}
	return true
}

func TestGrids(t *testing.T) {
	grids := Grids()
	if len(grids) != 288 {
		t.Fatalf("%d grids, want 288", len(grids))
	}
	seen := map[string]bool{}
	for _, g := range grids {
		if !valid(g) || seen[string(g)] {
			t.Fatalf("grid %v is wrong or occurs twice", g)
		}
		seen[string(g)] = true
	}
	for n := 2; n <= 3; n++ {
		if g := Grid(rand.New(rand.NewPCG(1, 2)), n); !valid(g) {
			t.Errorf("random board %v of size %d is wrong", g, n)
		}
	}
}

func TestPuzzles(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	training, testing := Split(r, 300, 100)
	in := map[string]bool{}
	for _, p := range training {
		in[string(p.Solution)] = true
	}
	for _, p := range append(training, testing...) {
		s, _ := Solve(p.Given)
		if !slices.Equal(s, p.Solution) {
			t.Fatalf("puzzle %v is solved by %v, want %v alone", p.Given, s, p.Solution)
		}
		if g := p.Givens(); g < 4 || g > 8 {
			t.Errorf("%d givens, want 4 to 8", g)
		}
	}
	for _, p := range testing {
		if in[string(p.Solution)] {
			t.Fatal("a test puzzle has a grid of a training puzzle")
		}
	}
	hard := Pluck(r, Grid(r, 3), 0)
	if s, _ := Solve(hard.Given); !slices.Equal(s, hard.Solution) || hard.Givens() > 30 {
		t.Errorf("a plucked board of size 3 has %d givens and the solution %v", hard.Givens(), s)
	}
	if s, _ := Solve(make([]uint8, 16)); s != nil {
		t.Error("the empty board has a solution of its own")
	}
	if s, _ := Solve(append([]uint8{1, 1}, make([]uint8, 14)...)); s != nil {
		t.Error("a contradiction is solved")
	}
}

func TestRank(t *testing.T) {
	for n, want := range map[int]int{2: 40, 3: 249} {
		a, rows := Rules(n)
		width := len(a) / rows
		if got := len(Basis(a, width)) / width; got != want {
			t.Errorf("size %d: rank %d, want %d", n, got, want)
		}
		kept, rows := IndependentRules(n)
		if got := len(Basis(kept, width)) / width; got != want || rows != want {
			t.Errorf("size %d: %d independent rules of rank %d, want %d", n, rows, got, want)
		}
	}
}

// TestAngles turns a plane by a known angle.
func TestAngles(t *testing.T) {
	for _, angle := range []float64{1e-9, 1e-3, 0.5, math.Pi / 2} {
		got := Angles([]float64{1, 0, 0, 0, 1, 0}, []float64{2, 1, 0, 0, 3 * math.Cos(angle), 3 * math.Sin(angle)}, 3)
		// The second plane is spanned by (2,1,0) and a vector at the angle: find the normals' angle instead.
		n := []float64{math.Sin(angle), -2 * math.Sin(angle), 2 * math.Cos(angle)}
		want := math.Asin(math.Hypot(n[0], n[1]) / math.Sqrt(n[0]*n[0]+n[1]*n[1]+n[2]*n[2]))
		// A sine near 1 says an angle to the root of rounding.
		tolerance := 1e-12
		if want > 1 {
			tolerance = 1e-7
		}
		if math.Abs(got[0]) > 1e-12 || math.Abs(got[1]-want) > tolerance {
			t.Errorf("angles %v, want 0 and %g", got, want)
		}
	}
}

// TestCeiling solves puzzles with the true rules: every board comes out right at the published ε = 0.1, although some solutions
// have fractions, and at ε = 0.01 all numbers are 0 or 1.
func TestCeiling(t *testing.T) {
	_, puzzles := Split(rand.New(rand.NewPCG(5, 6)), 0, 40)
	for _, epsilon := range []float64{0.1, 0.01} {
		score, largest, err := Ceiling(puzzles, epsilon)
		if err != nil {
			t.Fatal(err)
		}
		if score.Boards != 1 || score.Cells != 1 {
			t.Errorf("ε %g: %+v, want all boards", epsilon, score)
		}
		if epsilon == 0.01 && largest > 1e-6 {
			t.Errorf("ε %g: a number is %g away from 0 and 1", epsilon, largest)
		}
	}
}

// TestHull expects the true rules from examples alone, and refuses too few.
func TestHull(t *testing.T) {
	training, test := Split(rand.New(rand.NewPCG(15, 16)), 400, 30)
	l := NewLayer()
	theta := make([]float32, l.Layout().Len())
	if err := l.Hull(theta, training[:10]); err == nil {
		t.Error("no error for 10 puzzles")
	}
	if err := l.Hull(theta, training); err != nil {
		t.Fatal(err)
	}
	if got := rulesAngle(l, theta); got > 1e-6 {
		t.Errorf("largest angle to the rules %g", got)
	}
	score, err := l.Evaluate(theta, test)
	if err != nil || score.Boards != 1 {
		t.Errorf("score %+v, error %v, want all boards", score, err)
	}
}

func rulesAngle(l *Layer, theta []float32) float64 {
	rules, _ := Rules(2)
	learned := make([]float64, l.Rows*l.Width)
	for i := range learned {
		learned[i] = float64(theta[i])
	}
	angles := Angles(rules, learned, l.Width)
	return angles[len(angles)-1]
}

// TestOrthonormalize expects the same outputs from orthonormal rows.
func TestOrthonormalize(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 18))
	l := NewLayer()
	theta := make([]float32, l.Layout().Len())
	l.Init(r, theta)
	puzzles, _ := Split(r, 4, 0)
	before, err := l.Evaluate(theta, puzzles)
	if err != nil {
		t.Fatal(err)
	}
	first := append([]float32(nil), theta...)
	l.Orthonormalize(theta)
	after, err := l.Evaluate(theta, puzzles)
	if err != nil {
		t.Fatal(err)
	}
	// float32 rounds the rows.
	if slices.Equal(first, theta) || math.Abs(after.Loss-before.Loss) > 1e-4*before.Loss {
		t.Errorf("loss %g after, %g before", after.Loss, before.Loss)
	}
	for i := range l.Rows {
		for k := range i + 1 {
			sum := 0.0
			for j := range l.Width {
				sum += float64(theta[i*l.Width+j]) * float64(theta[k*l.Width+j])
			}
			want := 0.0
			if i == k {
				want = 1
			}
			if math.Abs(sum-want) > 1e-6 {
				t.Fatalf("rows %d and %d: product %g", i, k, sum)
			}
		}
	}
}

// TestLayerGradient compares with central differences. The loss is computed in float64 from float32 parameters, of which a step of 2⁻¹² is exact.
func TestLayerGradient(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	l := &Layer{Rows: 5, Width: 16 * 4, Epsilon: 0.5}
	theta := make([]float32, l.Layout().Len())
	l.Init(r, theta)
	puzzles, _ := Split(r, 3, 0)
	grad, unused := make([]float32, len(theta)), make([]float32, len(theta))
	if _, err := l.LossGrad(theta, grad, puzzles); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 17, 100, 319, 320, 350, 383} {
		const step = 1. / 4096
		keep := theta[i]
		var v [2]float64
		for side, sign := range [...]float32{1, -1} {
			theta[i] = keep + sign*step
			var err error
			if v[side], err = l.LossGrad(theta, unused, puzzles); err != nil {
				t.Fatal(err)
			}
		}
		theta[i] = keep
		if want := (v[0] - v[1]) / (2 * step); math.Abs(float64(grad[i])-want) > 1e-5*(1e-2+math.Abs(want)) {
			t.Errorf("∂loss/∂θ_%d = %g, differences %g", i, grad[i], want)
		}
	}
}

// TestTrueRulesAreAFixedPoint puts the rules into the layer: the score is that of the ceiling.
func TestTrueRulesAreAFixedPoint(t *testing.T) {
	l := NewLayer()
	theta := make([]float32, l.Layout().Len())
	a, _ := Rules(2)
	for i, v := range Basis(a, 64) {
		theta[i] = float32(v)
	}
	// A uniform board satisfies the rules: w = log ¼.
	for j := range 64 {
		theta[40*64+j] = float32(math.Log(0.25))
	}
	_, puzzles := Split(rand.New(rand.NewPCG(9, 10)), 0, 30)
	score, err := l.Evaluate(theta, puzzles)
	if err != nil {
		t.Fatal(err)
	}
	if score.Boards != 1 {
		t.Errorf("%+v, want all boards", score)
	}
}

// TestTrainingEndsAtTheRules trains from rules with errors: near the true ones a layer without a Smoothing comes to puzzles without a derivative.
func TestTrainingEndsAtTheRules(t *testing.T) {
	r := rand.New(rand.NewPCG(19, 20))
	puzzles, _ := Split(r, 500, 0)
	l := NewLayer()
	l.Epsilon = 0.01
	theta := make([]float32, l.Layout().Len())
	if err := l.Hull(theta, puzzles); err != nil {
		t.Fatal(err)
	}
	for i := range l.Rows * l.Width {
		theta[i] += float32(0.004 * r.NormFloat64())
	}
	before := rulesAngle(l, theta)
	const steps = 150
	grad, m, v := make([]float32, len(theta)), make([]float64, len(theta)), make([]float64, len(theta))
	for step := range steps {
		from := step * 20 % len(puzzles)
		if _, err := l.LossGrad(theta, grad, puzzles[from:from+20]); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		// Adam, its rate falling to 0.
		rate := 0.0004 * (1 - float64(step)/steps)
		for i, g := range grad {
			m[i] += 0.1 * (float64(g) - m[i])
			v[i] += 0.01 * (float64(g)*float64(g) - v[i])
			n := float64(step + 1)
			theta[i] -= float32(rate * m[i] / (1 - math.Pow(0.9, n)) / (math.Sqrt(v[i]/(1-math.Pow(0.99, n))) + 1e-12))
		}
	}
	if after := rulesAngle(l, theta); !(after < 0.015) || before < 0.03 {
		t.Errorf("largest angle to the rules %g after training, %g before; want at most 0.015", after, before)
	}
}

func TestPublished(t *testing.T) {
	dir := os.Getenv("METAOPT_DATA")
	if dir == "" {
		t.Skip("METAOPT_DATA names no folder of data sets")
	}
	path := filepath.Join(dir, "sudoku4", "optnet4x4.csv")
	if _, err := os.Stat(path); err != nil {
		t.Skip(err)
	}
	puzzles, err := Published(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(puzzles) != 10000 {
		t.Fatalf("%d puzzles, want 10,000", len(puzzles))
	}
	grids := map[string]bool{}
	for _, p := range puzzles {
		if !valid(p.Solution) {
			t.Fatalf("solution %v is wrong", p.Solution)
		}
		grids[string(p.Solution)] = true
	}
	if len(grids) != 288 {
		t.Errorf("%d grids, want 288", len(grids))
	}
}

func TestPublishedRefuses(t *testing.T) {
	for text, ok := range map[string]bool{
		"puzzle,solution\n0300001040000002,1324241342313142\n": true,
		"0300001040000002,132424134231314\n":                   false,
		"0300001040000002;1324241342313142\n":                  false,
		"0400001040000002,1324241342313142\n":                  false,
		"0300001040000002,1324241342313140\n":                  false,
		"0300001040000002,132424134231314x\n":                  false,
	} {
		path := filepath.Join(t.TempDir(), "puzzles.csv")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if puzzles, err := Published(path); (err == nil) != ok || ok && len(puzzles) != 1 {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := Published("no such file"); err == nil {
		t.Error("no error for a missing file")
	}
}

// TestBoardsOfSize3 solves one board of size 3 with the true rules, sparse.
func TestBoardsOfSize3(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	p := Pluck(r, Grid(r, 3), 50)
	s := NewSolver(3, 0.01)
	z, err := s.Solve(p.Given)
	if err != nil {
		t.Fatal(err)
	}
	if got := Decode(z, 81); !slices.Equal(got, p.Solution) {
		t.Errorf("board %v, want %v", got, p.Solution)
	}
}

// TestNetworkGradients compares both kinds of networks with central differences, the step exact in float32; where a unit is near its
// kink a difference is off, so the median of the errors is what counts.
func TestNetworkGradients(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	puzzles, _ := Split(r, 4, 0)
	for _, n := range []*Network{{Widths: []int{7, 5}}, {Widths: []int{3, 2}, Convolutional: true}} {
		theta := make([]float32, n.Layout().Len())
		n.Init(r, theta)
		grad, unused := make([]float32, len(theta)), make([]float32, len(theta))
		if _, err := n.LossGrad(theta, grad, puzzles); err != nil {
			t.Fatal(err)
		}
		var errors []float64
		for i := range theta {
			const step = 1. / 4096
			keep := theta[i]
			var v [2]float64
			for side, sign := range [...]float32{1, -1} {
				theta[i] = keep + sign*step
				v[side], _ = n.LossGrad(theta, unused, puzzles)
			}
			moved := float64((keep + step) - (keep - step))
			theta[i] = keep
			errors = append(errors, math.Abs(float64(grad[i])-(v[0]-v[1])/moved))
		}
		slices.Sort(errors)
		if e := errors[len(errors)*9/10]; e > 1e-5 {
			t.Errorf("convolutional %v: nine of ten errors are below %g, want 1e-5", n.Convolutional, e)
		}
	}
}
