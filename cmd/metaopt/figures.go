package main

import "math"

// A figure of Andrychowicz et al. 2016 (arXiv:1606.04474).
type figure struct {
	name string
	// number is the figure's number in the paper: "Fig. 4, left".
	number, title string
	// task and options are words for tasks.Parse. The task mnist stands for the data set of --data.
	task    string
	options string
	steps   int
	// ratio says to divide all losses by the loss at the start, because the paper's losses have another scale.
	ratio bool
	// yMin and yMax are the ends of the loss axis, so that figures can be compared side by side. 0 fits the axis to
	// the curves.
	yMin, yMax float64
	paper      []paperStep
	// grid is set only for the figure of many architectures.
	grid []architecture
}

// A paperStep holds the losses of the paper's figure at one step. They are read off the figure, with an error of up to 5 %.
// 0 means that the figure does not show the value.
type paperStep struct {
	Step int     `json:"step"`
	LSTM float64 `json:"lstm"`
	ADAM float64 `json:"adam,omitempty"`
	RMS  float64 `json:"rmsprop,omitempty"`
	NAG  float64 `json:"nesterov,omitempty"`
	SGD  float64 `json:"sgd,omitempty"`
}

// of returns the paper's value for one of this program's rules, or NaN if the paper has none.
func (p paperStep) of(rule string) float64 {
	value := map[string]float64{"adam": p.ADAM, "rmsprop": p.RMS, "nesterov": p.NAG, "sgd": p.SGD}[rule]
	if value == 0 {
		return math.NaN()
	}
	return value
}

// best returns the hand-designed rule with the lowest value, and the value.
func (p paperStep) best() (rule string, value float64) {
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
	// paper has Step 100. Its LSTM is 0 if the paper has no point.
	paper paperStep
	// coarse says that --quick keeps this point.
	coarse bool
}

// mnistTask is the data set that --data replaces.
const mnistTask = "mnist"

// figures are all figures that metaopt reproduce draws, in the paper's order.
var figures = []figure{
	{
		name: "quadratics", number: "Fig. 4, left", title: "ten-dimensional quadratics", task: "quadratic", steps: 100, ratio: true,
		paper: []paperStep{
			{Step: 20, LSTM: 0.15, ADAM: 1.8, RMS: 0.6, NAG: 0.20, SGD: 0.45},
			{Step: 100, LSTM: 0.039, ADAM: 0.051, RMS: 0.059, NAG: 0.080, SGD: 0.215},
		},
	},
	{
		name: "mnist", number: "Fig. 4, centre", title: "MNIST, 20 sigmoid units", task: mnistTask, steps: 100, yMin: 0.1, yMax: 4,
		paper: []paperStep{
			{Step: 20, LSTM: 0.46, ADAM: 1.5, RMS: 1.7, NAG: 1.45, SGD: 1.95},
			{Step: 40, LSTM: 0.335, ADAM: 0.62, RMS: 0.64, NAG: 0.57, SGD: 1.07},
			{Step: 100, LSTM: 0.245, ADAM: 0.36, RMS: 0.36, NAG: 0.32, SGD: 0.45},
		},
	},
	{
		name: "mnist-200", number: "Fig. 4, right", title: "the same over 200 steps", task: mnistTask, steps: 200, yMin: 0.1, yMax: 4,
		paper: []paperStep{{Step: 200, LSTM: 0.21, ADAM: 0.305, RMS: 0.29, NAG: 0.26, SGD: 0.33}},
	},
	{
		name: "units-40", number: "Fig. 5, left", title: "MNIST, 40 units", task: mnistTask, options: "units=40", steps: 100, yMin: 0.1, yMax: 4,
		paper: []paperStep{{Step: 100, LSTM: 0.187, ADAM: 0.32, RMS: 0.32, NAG: 0.29, SGD: 0.445}},
	},
	{
		name: "two-layers", number: "Fig. 5, centre", title: "MNIST, two hidden layers", task: mnistTask, options: "layers=2", steps: 100, yMin: 0.1, yMax: 4,
		paper: []paperStep{{Step: 100, LSTM: 0.325, ADAM: 0.69, RMS: 0.72, NAG: 0.74, SGD: 1.76}},
	},
	{
		name: "relu", number: "Fig. 5, right", title: "MNIST, rectified linear units", task: mnistTask, options: "activation=relu", steps: 100, yMin: 0.1, yMax: 4,
		paper: []paperStep{{Step: 100, LSTM: 2.5, ADAM: 0.36, RMS: 0.40, NAG: 0.36, SGD: 0.445}},
	},
	{
		name: "architectures", number: "Fig. 6", title: "final loss against units, 1 and 2 layers", task: mnistTask, steps: 100,
		grid: []architecture{
			{units: 5, layers: 1, coarse: true, paper: paperStep{LSTM: 0.59, ADAM: 0.82, NAG: 0.575}},
			{units: 10, layers: 1},
			{units: 20, layers: 1, coarse: true, paper: paperStep{LSTM: 0.245, ADAM: 0.37, NAG: 0.25}},
			{units: 35, layers: 1},
			{units: 50, layers: 1, paper: paperStep{LSTM: 0.195, ADAM: 0.29, NAG: 0.227}},
			{units: 5, layers: 2, coarse: true, paper: paperStep{LSTM: 1.01, ADAM: 1.53}},
			{units: 10, layers: 2},
			{units: 20, layers: 2, coarse: true, paper: paperStep{LSTM: 0.32, ADAM: 0.69, NAG: 0.45}},
			{units: 35, layers: 2},
			{units: 50, layers: 2, paper: paperStep{LSTM: 0.20, ADAM: 0.55, NAG: 0.447}},
		},
	},
}

// tableName and allName are the targets of metaopt reproduce besides figures.
const (
	tableName = "table"
	allName   = "all"
	listName  = "list"
)

func figureNames() []string {
	var names []string
	for _, f := range figures {
		names = append(names, f.name)
	}
	return names
}
