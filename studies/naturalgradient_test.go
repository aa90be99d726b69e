package studies

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"learnedopt/optimizer"
)

// The study on drawn digits, few steps: all rows, tables, pictures and event files are there.
func TestNaturalGradient(t *testing.T) {
	if testing.Short() {
		t.Skip("renders the digits; not with -short")
	}
	dir := t.TempDir()
	r, err := Run(context.Background(), "natural-gradient", Config{Quick: true, Seed: 1, Steps: 4, Data: "digits", Dir: dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Tables) != 2 || len(r.Tables[0].Rows)+len(r.Tables[1].Rows) != len(RowNames())-1 || len(r.Pictures) != 2 || len(r.Pictures[0].Panels) != 2 {
		t.Fatalf("tables %+v", r.Tables)
	}
	files, err := r.Save(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(files, "loss.png", "events/kfac", "events/document-sampled") {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	found, err := filepath.Glob(filepath.Join(dir, "events", "exact", "events.out.tfevents*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("event files %v, %v", found, err)
	}
	data, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"train/loss", "test/accuracy", "value/W0", "grad/b1", "update/W1"} {
		if !strings.Contains(string(data), tag) {
			t.Errorf("no %s in the event file", tag)
		}
	}
	for _, row := range r.Tables[0].Rows {
		if row[0] == "adam" && !strings.HasPrefix(row[6], "4, 1.00") {
			t.Errorf("adam reaches its own last loss at %q, want the last step", row[6])
		}
		if row[3] == "diverged" || strings.Contains(row[4], "NaN") {
			t.Errorf("row %q", row)
		}
	}
}

func TestNaturalGradientRows(t *testing.T) {
	if testing.Short() {
		t.Skip("renders the digits; not with -short")
	}
	r, err := Run(context.Background(), "natural-gradient", Config{Steps: 2, Runs: 2, Data: "digits", Rows: []string{"document-adam"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Tables) != 1 || len(r.Tables[0].Rows) != 1 || !strings.Contains(r.Tables[0].Rows[0][1], "±") || r.Tables[0].Rows[0][2] != "94.2 %" || r.Files != nil {
		t.Errorf("%+v, files %v", r.Tables, r.Files)
	}
	if _, err := Run(context.Background(), "natural-gradient", Config{Steps: 2, Data: "digits", Rows: []string{"nobody"}}, nil); err == nil {
		t.Error("no error without rows")
	}
}

// The tutorial's rule by hand. Of a bias, G = ggᵀ and g give X = g/‖g‖² after one iteration. With a drawn u the first iteration gives (gᵀg/(uᵀg)²) g,
// here (83, 111); g is not in G's range, so later ones only add to it, and X is clipped.
func TestDocument(t *testing.T) {
	layout, err := optimizer.NewLayout(optimizer.Tensor{Name: "W", Shape: []int{2, 2}, Kind: optimizer.Matrix, OutputAxis: 1}, optimizer.Tensor{Name: "b", Shape: []int{2}, Kind: optimizer.Bias})
	if err != nil {
		t.Fatal(err)
	}
	var shown []float32
	var largest float64
	each := func(natural []float32, l float64) { shown, largest = append([]float32(nil), natural...), l }
	// G of W = [[2, 0], [0, 0.1]] is diag(4, 0.01), and X = diag(1/2, 10).
	grad := []float32{2, 0, 0, 0.1, 30, 40}
	dst := make([]float32, 6)
	if _, err := (document{each: each}).Start(layout).Update(dst, optimizer.Point{Grad: grad, Theta: make([]float32, 6)}); err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{0.5, 0, 0, 10, 0.012, 0.016} {
		if math.Abs(float64(shown[i])-want) > 1e-3 {
			t.Errorf("X = %v, want %v at %d", shown, want, i)
		}
	}
	if math.Abs(largest-10) > 1e-3 || math.Abs(math.Abs(float64(dst[5]))-documentRate) > 1e-6 {
		t.Errorf("largest %v, update %v", largest, dst)
	}
	// u of the bias is (1, 0): the second number of g is not in its range.
	blocks := factored{{Inputs: 2, Outputs: 2, In: []float32{1, 0}, Out: []float32{1, 0}}}
	rule := document{draws: 1, each: each}
	if needs := rule.Needs(); !needs.Factors || (document{}).Needs().Factors {
		t.Error("factors are for draws, and only for them")
	}
	if _, err := rule.Start(layout).Update(dst, optimizer.Point{Grad: grad, Theta: make([]float32, 6), Curvature: blocks}); err != nil {
		t.Fatal(err)
	}
	if shown[5] != documentClip || !(largest > 100) || optimizer.NonFinite(shown) >= 0 {
		t.Errorf("X = %v with %v before clipping, want its last number at 10", shown, largest)
	}
}

// factored has the factors of one layer.
type factored []optimizer.Block

func (f factored) Metrics() optimizer.Metric { return 0 }
func (f factored) CurvatureProduct(_, _, _ []float32, _ optimizer.Metric, _ int) error {
	panic("not called")
}
func (f factored) CanFactor() bool { return true }
func (f factored) Factors([]float32, optimizer.Metric, int) ([]optimizer.Block, error) {
	return f, nil
}
