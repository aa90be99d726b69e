package studies

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"learnedopt/optimizer"
	"learnedopt/report"
)

// A Study is an experiment by its name.
type Study struct {
	Name, Title string
	// Trains says that Steps, Runs, Data and Rows of a Config have an effect, and that its Rules have none.
	Trains bool
	run    func(context.Context, *bench) error
}

// All returns the studies.
func All() []Study {
	return []Study{
		{Name: "sudoku", Title: "OptNet's Sudoku: a quadratic program learns the rules from examples", run: sudokuStudy},
		{Name: "sudoku9", Title: "Sudoku of 9×9: the true rules as a quadratic program, by difficulty", run: largeStudy},
		{Name: "denoising", Title: "OptNet's denoising: a learned matrix against total variation", run: denoisingStudy},
		{Name: "inner-solver", Title: "a learned optimizer as a layer's inner solver, against interior point and ADMM", run: innerSolverStudy},
		{Name: "maxent", Title: "maximum entropy by the method of multipliers: Jaynes' die, a Gaussian", run: maxentStudy},
		{Name: "trpo", Title: "policy gradients on chains and CartPole: TRPO, natural gradient, Adam, a learned rule", run: trpoStudy},
		{Name: "natural-gradient", Title: "natural gradients on MNIST: exact, sampled, empirical, K-FAC, and why those of a tutorial blew up", Trains: true, run: naturalGradientStudy},
	}
}

// A Rule is a learned optimizer to train layers with, beside Adam.
type Rule struct {
	Name string
	optimizer.Rule
}

// A Config says how to run a study. The zero value is a full run.
type Config struct {
	Seed uint64
	// Quick makes everything small: a glance, whose numbers mean little.
	Quick bool
	// DataDir is the folder of data sets, for the published puzzles; "" leaves them out.
	DataDir string
	// Rules are learned optimizers.
	Rules []Rule
	// Steps of a training and instances; 0 means the study's own numbers. Data is the task whose data are taken; "" means "mnist".
	Steps, Runs int
	Data        string
	// Rows are the names of the rows to make, RowNames unless set.
	Rows []string
	// Dir is a folder for event files of TensorBoard, of each row of the first instance in a folder of its own; "" means none.
	Dir string
	// Sizes are the numbers of variables of inner-solver; nil means 64, 200 and 729.
	Sizes []int
}

// A Table has a header and rows of text.
type Table struct {
	Title  string     `json:"title"`
	Header []string   `json:"header"`
	Rows   [][]string `json:"rows"`
}

// A Picture has curves, or panels with curves.
type Picture struct {
	Name, Title, X, Y string
	Series            []report.Series
	Panels            []report.Panel
	// Top, if positive, makes the axis of Y linear, up to this value. Otherwise it is logarithmic.
	Top float64
	// LogX makes the other axis logarithmic.
	LogX bool
}

// A Result is what a study found.
type Result struct {
	Study    Study
	Tables   []Table
	Pictures []Picture
	// Files are what the study has written into the Config's Dir.
	Files []string
}

// bench is a study under way.
type bench struct {
	Config
	Result
	note func(string)
}

// Run runs a study. note, which may be nil, hears how far it is. An unknown name is an error.
func Run(ctx context.Context, name string, c Config, note func(string)) (*Result, error) {
	if note == nil {
		note = func(string) {}
	}
	for _, s := range All() {
		if s.Name == name {
			b := &bench{Config: c, Result: Result{Study: s}, note: note}
			if err := s.run(ctx, b); err != nil {
				return nil, err
			}
			return &b.Result, nil
		}
	}
	return nil, fmt.Errorf("studies: there is no study %q", name)
}

// Write writes the tables with report.Table or a function like it.
func (r *Result) Write(w io.Writer, table func(w io.Writer, header []string, rows [][]string) error) error {
	for i, t := range r.Tables {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s\n\n", t.Title)
		if err := table(w, t.Header, t.Rows); err != nil {
			return err
		}
	}
	return nil
}

// Save writes result.json and the pictures, as SVG and PNG, into a folder, which it makes, and returns the names of the files.
func (r *Result) Save(dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("studies: %w", err)
	}
	text, err := json.MarshalIndent(struct {
		Study  string  `json:"study"`
		Tables []Table `json:"tables"`
	}{r.Study.Name, r.Tables}, "", "  ")
	if err != nil {
		return nil, err
	}
	files := []string{"result.json"}
	if err := os.WriteFile(filepath.Join(dir, files[0]), append(text, '\n'), 0o644); err != nil {
		return nil, fmt.Errorf("studies: %w", err)
	}
	for _, p := range r.Pictures {
		plot, err := p.plot()
		if err != nil {
			return nil, err
		}
		for _, format := range []string{"svg", "png"} {
			name := p.Name + "." + format
			if err := plot.Save(filepath.Join(dir, name)); err != nil {
				return nil, err
			}
			files = append(files, name)
		}
	}
	return append(files, r.Files...), nil
}

// panelWidth is the width of a panel, in pixels.
const panelWidth = 560

func (p Picture) plot() (*report.Plot, error) {
	o := report.CurveOptions{XLabel: p.X, YLabel: p.Y, LinearY: p.Top > 0, YMax: p.Top, LogX: p.LogX}
	if p.Panels == nil {
		return report.Curves(p.Title, p.Series, o)
	}
	o.Width = panelWidth * float64(len(p.Panels))
	return report.Panels(p.Title, p.Panels, o)
}

// pick returns the full value, or the quick one.
func (b *bench) pick(full, quick int) int {
	if b.Quick {
		return quick
	}
	return full
}

func percent(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) }
