package reproduce

import (
	"math"
	"slices"

	"learnedopt/versus"
)

// defaultRules are the hand-designed rules of figures and table.
var defaultRules = versus.DefaultRules()

// A figure of Andrychowicz et al. 2016 (arXiv:1606.04474).
type Figure struct {
	Name string
	// Number is the paper's: "Fig. 4, left".
	Number, Title string
	// task and options are words of tasks.Parse; the data set's name stands for any.
	task    string
	options string
	steps   int
	// ratio says to divide all losses by the loss at the start, because the paper's losses have another scale.
	ratio bool
	// yMin and yMax are the ends of the loss axis, so that figures can be compared side by side. 0 fits the axis to
	// the curves.
	yMin, yMax float64
	paper      []PaperStep
	// grid is for the figure of many architectures; else nil.
	grid []architecture
}

// A PaperStep is what the paper's figure shows at a step, read off it with an error of up to
// 5 %. 0 is not shown.
type PaperStep struct {
	Step int     `json:"step"`
	LSTM float64 `json:"lstm"`
	ADAM float64 `json:"adam,omitempty"`
	RMS  float64 `json:"rmsprop,omitempty"`
	NAG  float64 `json:"nesterov,omitempty"`
	SGD  float64 `json:"sgd,omitempty"`
}

// of returns the value of one of this program's rules, NaN if the paper has none.
func (p PaperStep) of(rule string) float64 {
	value := map[string]float64{"adam": p.ADAM, "rmsprop": p.RMS, "nesterov": p.NAG, "sgd": p.SGD}[rule]
	if value == 0 {
		return math.NaN()
	}
	return value
}

// best returns the least value of a hand-designed rule, and the rule.
func (p PaperStep) best() (rule string, value float64) {
	value = math.NaN()
	for _, name := range defaultRules {
		if v := p.of(name); !math.IsNaN(v) && !(v >= value) {
			rule, value = name, v
		}
	}
	return rule, value
}

// An architecture is one point of the figure of architectures.
type architecture struct {
	units, layers int
	// paper's Step is 100; its LSTM is 0 where the paper has no point.
	paper PaperStep
	// coarse points are those that --quick keeps.
	coarse bool
}

// mnistTask is the data set that --data replaces.
const mnistTask = DefaultData

// figures are all that metaopt reproduce draws, in the paper's order.
var figures = []Figure{
	{
		Name: "quadratics", Number: "Fig. 4, left", Title: "ten-dimensional quadratics", task: "quadratic", steps: 100, ratio: true,
		paper: []PaperStep{
			{Step: 20, LSTM: 0.15, ADAM: 1.8, RMS: 0.6, NAG: 0.20, SGD: 0.45},
			{Step: 100, LSTM: 0.039, ADAM: 0.051, RMS: 0.059, NAG: 0.080, SGD: 0.215},
		},
	},
	{
		Name: "mnist", Number: "Fig. 4, centre", Title: "MNIST, 20 sigmoid units", task: mnistTask, steps: 100, yMin: 0.1, yMax: 4,
		paper: []PaperStep{
			{Step: 20, LSTM: 0.46, ADAM: 1.5, RMS: 1.7, NAG: 1.45, SGD: 1.95},
			{Step: 40, LSTM: 0.335, ADAM: 0.62, RMS: 0.64, NAG: 0.57, SGD: 1.07},
			{Step: 100, LSTM: 0.245, ADAM: 0.36, RMS: 0.36, NAG: 0.32, SGD: 0.45},
		},
	},
	{
		Name: "mnist-200", Number: "Fig. 4, right", Title: "the same over 200 steps", task: mnistTask, steps: 200, yMin: 0.1, yMax: 4,
		paper: []PaperStep{{Step: 200, LSTM: 0.21, ADAM: 0.305, RMS: 0.29, NAG: 0.26, SGD: 0.33}},
	},
	{
		Name: "units-40", Number: "Fig. 5, left", Title: "MNIST, 40 units", task: mnistTask, options: "units=40", steps: 100, yMin: 0.1, yMax: 4,
		paper: []PaperStep{{Step: 100, LSTM: 0.187, ADAM: 0.32, RMS: 0.32, NAG: 0.29, SGD: 0.445}},
	},
	{
		Name: "two-layers", Number: "Fig. 5, centre", Title: "MNIST, two hidden layers", task: mnistTask, options: "layers=2", steps: 100, yMin: 0.1, yMax: 4,
		paper: []PaperStep{{Step: 100, LSTM: 0.325, ADAM: 0.69, RMS: 0.72, NAG: 0.74, SGD: 1.76}},
	},
	{
		Name: "relu", Number: "Fig. 5, right", Title: "MNIST, rectified linear units", task: mnistTask, options: "activation=relu", steps: 100, yMin: 0.1, yMax: 4,
		paper: []PaperStep{{Step: 100, LSTM: 2.5, ADAM: 0.36, RMS: 0.40, NAG: 0.36, SGD: 0.445}},
	},
	{
		Name: "architectures", Number: "Fig. 6", Title: "final loss against units, 1 and 2 layers", task: mnistTask, steps: 100,
		grid: []architecture{
			{units: 5, layers: 1, coarse: true, paper: PaperStep{LSTM: 0.59, ADAM: 0.82, NAG: 0.575}},
			{units: 10, layers: 1},
			{units: 20, layers: 1, coarse: true, paper: PaperStep{LSTM: 0.245, ADAM: 0.37, NAG: 0.25}},
			{units: 35, layers: 1},
			{units: 50, layers: 1, paper: PaperStep{LSTM: 0.195, ADAM: 0.29, NAG: 0.227}},
			{units: 5, layers: 2, coarse: true, paper: PaperStep{LSTM: 1.01, ADAM: 1.53}},
			{units: 10, layers: 2},
			{units: 20, layers: 2, coarse: true, paper: PaperStep{LSTM: 0.32, ADAM: 0.69, NAG: 0.45}},
			{units: 35, layers: 2},
			{units: 50, layers: 2, paper: PaperStep{LSTM: 0.20, ADAM: 0.55, NAG: 0.447}},
		},
	},
}

// tableName and allName are the targets of metaopt reproduce besides figures.
const (
	Table = "table" // the table of results
	All   = "all"   // all figures
)

// Figures returns all figures, in the paper's order.
func Figures() []Figure { return slices.Clone(figures) }

// FigureNames returns the names of all figures, in the paper's order.
func FigureNames() []string {
	var names []string
	for _, f := range figures {
		names = append(names, f.Name)
	}
	return names
}
