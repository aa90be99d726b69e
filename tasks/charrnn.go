package tasks

import (
	"math"
	"math/rand/v2"
	"unicode/utf8"

	"learnedopt/internal/gemm/rnn"
	"learnedopt/internal/precondition"
	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// CharRNNConfig is the shape of a CharRNN.
type CharRNNConfig struct {
	// Units is the number H of hidden units; 0 means 20.
	Units int
	// Batch is the number B of windows in a minibatch; 0 means 128.
	Batch int
	// WeightInit and InitScale say how weights and biases start, as in ClassifierConfig. The matrix W_x of the characters has V
	// inputs. With "torch" all weights and biases are uniform on ±1/√H, torch.nn.RNN's default.
	WeightInit string
	InitScale  float64
}

// options returns the configuration as options.
func (c CharRNNConfig) options() Options {
	return Options{Units: c.Units, Batch: c.Batch, WeightInit: c.WeightInit, InitScale: c.InitScale}
}

// Validate reports the first mistake in the configuration.
func (c CharRNNConfig) Validate() error { return c.options().validateNetwork(textTasks) }

// A CharRNN is a family of recurrent networks (Elman 1990) that predict the next character of a text. They read windows of 32 characters
// x_0 … x_31 out of V and predict x_1 … x_32,
//
//	h_t = tanh(W_x[x_t] + h_{t−1} W_h + b_h),   h_{−1} = 0,   z_t = h_t W_o + b_o,   t = 0 … 31,
//	f(θ) = mean over the minibatch and t of −log softmax(z_t)[x_{t+1}].
//
// W_x[k] is row k of W_x. The gradient is exact: it goes back through all 32 characters. θ holds W_x (V×H, row-major), W_h (H×H), b_h, W_o (H×V) and
// b_o. A minibatch is B windows that begin anywhere in the training split, drawn with replacement. A problem's starting point and all its
// minibatches follow from one seed; Sample draws that seed.
//
// A problem implements optimizer.Curvature with both metrics, and scored: EvaluateSplit cuts a split into windows one after the other, and its
// accuracy is the share of characters that are predicted. A CharRNN is safe for concurrent use.
type CharRNN struct {
	text   *Text
	config Options // the options that the task reads, with defaults filled in
	shape  rnn.Shape
	layout optimizer.Layout
}

var (
	_ optimizer.Family = (*CharRNN)(nil)
	_ scored           = (*CharRNN)(nil)
)

// NewCharRNN returns the family of recurrent networks of the given configuration on a text.
func NewCharRNN(text *Text, c CharRNNConfig) (*CharRNN, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return newCharRNN(text, c.options())
}

// newCharRNN is NewCharRNN for valid options. It ignores options that the task does not read.
func newCharRNN(text *Text, o Options) (*CharRNN, error) {
	o.LossScale, o.GradientNoise, o.DataDir = 0, 0, ""
	f := &CharRNN{text: text, config: o.withDefaults(textTasks)}
	f.shape = rnn.Shape{Symbols: utf8.RuneCountInString(text.characters), Units: f.config.Units, Steps: window}
	v, h := f.shape.Symbols, f.shape.Units
	var err error
	f.layout, err = optimizer.NewLayout(
		optimizer.Tensor{Name: "Wx", Shape: []int{v, h}, Kind: optimizer.Matrix, OutputAxis: 1},
		optimizer.Tensor{Name: "Wh", Shape: []int{h, h}, Kind: optimizer.Matrix, OutputAxis: 1},
		optimizer.Tensor{Name: "bh", Shape: []int{h}, Kind: optimizer.Bias},
		optimizer.Tensor{Name: "Wo", Shape: []int{h, v}, Kind: optimizer.Matrix, OutputAxis: 1},
		optimizer.Tensor{Name: "bo", Shape: []int{v}, Kind: optimizer.Bias})
	return f, err
}

// Name implements optimizer.Family, for example "char-rnn:poems@0123456789abcdef units=20 batch=128".
func (f *CharRNN) Name() string {
	return f.config.lists().words(charRNNName+":"+f.text.Name(), textTasks)
}

// Sample implements optimizer.Family.
func (f *CharRNN) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	p := &charRNN{
		family: f, seed: rng.Uint64(), net: rnn.New(f.shape, f.config.Batch), pcg: &rand.PCG{},
		windows: make([]uint16, f.config.Batch*(window+1)), fed: -1, moved: -1,
	}
	p.rng = rand.New(p.pcg)
	return p, nil
}

// EvaluateSplit returns the mean cross-entropy and the accuracy of the network θ over a split, cut into windows of 32 predictions each, without the last
// characters that fill no window.
func (f *CharRNN) EvaluateSplit(theta []float32, split Split) (loss, accuracy float64, err error) {
	precondition.Length("tasks", "theta", theta, f.layout.Len())
	all := (f.text.Len(split) - 1) / window
	chunk := min(all, evaluateWindows)
	net, correct := rnn.New(f.shape, chunk), 0
	windows := make([]uint16, 0, chunk*(window+1))
	for at := 0; at < all; at += chunk {
		windows = windows[:0]
		for k := at; k < min(at+chunk, all); k++ {
			windows = append(windows, f.text.splits[split][k*window:][:window+1]...)
		}
		l, c := net.Evaluate(theta, windows)
		loss += l
		correct += c
	}
	n := float64(all * window)
	return loss / n, float64(correct) / n, nil
}

// evaluateWindows is the number of windows that EvaluateSplit evaluates at a time.
const evaluateWindows = 128

// charRNN is one sampled problem.
type charRNN struct {
	family  *CharRNN
	seed    uint64
	net     *rnn.Network
	pcg     *rand.PCG
	rng     *rand.Rand // over pcg
	windows []uint16   // the minibatch
	step    int
	fed     int // the step of the minibatch in windows, −1 before the first
	moved   int // the step of the point of the network's products, −1 if there is none
}

var (
	_ optimizer.Problem   = (*charRNN)(nil)
	_ optimizer.Seeker    = (*charRNN)(nil)
	_ optimizer.Laid      = (*charRNN)(nil)
	_ optimizer.Curvature = (*charRNN)(nil)
	_ evaluated           = (*charRNN)(nil)
)

// Dim implements optimizer.Problem.
func (p *charRNN) Dim() int { return p.family.layout.Len() }

// Layout implements optimizer.Laid: the matrices Wx of the characters, Wh of the recurrence and Wo of the outputs, with their biases.
func (p *charRNN) Layout() optimizer.Layout { return p.family.layout }

// Init implements optimizer.Problem.
func (p *charRNN) Init(theta []float32) {
	precondition.Length("tasks", "theta", theta, p.Dim())
	rng, o := stream.New(p.seed, "init", 0), p.family.config
	if o.WeightInit == "torch" {
		uniform(theta, 1/math.Sqrt(float64(o.Units)), rng)
		return
	}
	o.start(theta, p.family.layout.Tensors(), rng)
}

// Seek implements optimizer.Seeker.
func (p *charRNN) Seek(t int) {
	if t < 0 {
		panic(errStep)
	}
	p.step = t
}

// feed draws minibatch t. It depends on the seed and t alone.
func (p *charRNN) feed(t int) {
	if p.fed == t {
		return
	}
	p.fed = t
	stream.Reseed(p.pcg, p.seed, "batch", uint64(t))
	train := p.family.text.splits[Train]
	for at := 0; at < len(p.windows); at += window + 1 {
		copy(p.windows[at:][:window+1], train[p.rng.IntN(len(train)-window):])
	}
}

// LossGrad implements optimizer.Problem.
func (p *charRNN) LossGrad(theta, grad []float32) (float64, error) {
	precondition.Length("tasks", "theta", theta, p.Dim())
	precondition.Length("tasks", "grad", grad, p.Dim())
	p.feed(p.step)
	p.moved = -1
	p.step++
	return p.net.LossGrad(grad, theta, p.windows), nil
}

// Metrics implements optimizer.Curvature.
func (p *charRNN) Metrics() optimizer.Metric { return optimizer.Hessian | optimizer.Fisher }

// CurvatureProduct implements optimizer.Curvature with the exact products of package rnn. The second and later products at one θ and
// step do not repeat the forward pass. The mean of Fisher is over the predictions of the minibatch.
func (p *charRNN) CurvatureProduct(dst, theta, v []float32, metric optimizer.Metric, step int) error {
	checkProduct(p, dst, theta, v, metric, step)
	if p.moved != step || !sameBits(p.net.Theta(), theta) {
		p.feed(step)
		p.net.Move(theta, p.windows)
		p.moved = step
	}
	if metric == optimizer.Fisher {
		p.net.Fisher(dst, v)
	} else {
		p.net.Hessian(dst, v)
	}
	return nil
}

// EvaluateSplit implements scored. It neither uses nor moves the minibatches.
func (p *charRNN) EvaluateSplit(theta []float32, split Split) (loss, accuracy float64, err error) {
	return p.family.EvaluateSplit(theta, split)
}

// Score evaluates a final point as the Score of a classifier does.
func (p *charRNN) Score(theta []float32) (validLoss, testAccuracy float64, err error) {
	return score(p, theta)
}
