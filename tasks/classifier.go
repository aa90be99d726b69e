package tasks

import (
	"fmt"
	"math/rand/v2"

	"learnedopt/internal/gemm/conv"
	"learnedopt/internal/precondition"
	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// A scored problem can be evaluated on a whole split of its data set.
type scored interface {
	// EvaluateSplit returns the mean loss and the accuracy, in [0, 1], of the
	// parameters theta over all examples of a split. The accuracy is NaN if the problem has none.
	EvaluateSplit(theta []float32, split Split) (loss, accuracy float64, err error)
}

// ClassifierConfig is the shape of a Classifier. The zero value is the MNIST
// task of Andrychowicz et al. 2016 (section 3.2).
type ClassifierConfig struct {
	// Units is the width H of each hidden layer; 0 means 20.
	Units int
	// Layers is the number of hidden layers; 0 means 1. NoLayers makes a linear model: softmax regression, in which Units and
	// Activation have no effect.
	Layers int
	// Channels makes the network convolutional: it holds the number of output channels of each convolutional layer, as "8-16". ""
	// means a multilayer perceptron. With Channels, Units and Layers must be 0.
	Channels string
	// Activation is one of Activations; "" means "sigmoid".
	Activation string
	// Batch is the number B of examples in a minibatch; 0 means 128.
	Batch int
	// WeightInit names the distribution of each layer's initial weights, whose scale follows from the layer's numbers of
	// inputs (fan-in) and outputs: see WeightInits; "" means "normal".
	WeightInit string
	// InitScale is the standard deviation of the initial weights and biases if WeightInit is "normal"; 0
	// means 0.01. With any other WeightInit it must be 0.
	InitScale float64
	// ImageSize is the side of the images in pixels, which are averaged down to it: see Dataset.Resized. 0 means the
	// size that the data set has.
	ImageSize int
	// LabelNoise is the probability in [0, 1] with which the label of an example of the minibatches is replaced by another class,
	// drawn uniformly. In one problem an example has the same label at every step; two problems replace other labels. EvaluateSplit
	// and Score have the true labels. Default 0.
	LabelNoise float64
	// Examples is the number of different examples that a problem's minibatches are drawn from; 0 means the whole split. Each problem
	// draws its own examples, without replacement. With few of them a run sees each many times, as long trainings do. EvaluateSplit and
	// Score have the whole splits.
	Examples int
	// Split is the part of the data set from which minibatches are drawn; its zero value is Train.
	Split Split
}

// NoLayers is the value of Layers for no hidden layer; canonical names say layers=0.
const NoLayers = -1

const (
	maxInitScale = 1000
	maxImageSize = 1 << 12
)

// Activations returns the names of the hidden layers' non-linearities. gelu is the exact one, with erf, and leaky-relu has the
// slope 0.01, as in PyTorch by default.
func Activations() []string {
	return []string{"sigmoid", "relu", "tanh", "elu", "gelu", "silu", "leaky-relu"}
}

// options returns the configuration without the split.
func (c ClassifierConfig) options() Options {
	return Options{Units: c.Units, Layers: c.Layers, Channels: c.Channels, Activation: c.Activation, Batch: c.Batch, WeightInit: c.WeightInit, InitScale: c.InitScale,
		ImageSize: c.ImageSize, LabelNoise: c.LabelNoise, Examples: c.Examples}
}

// Validate reports the first mistake in the configuration.
func (c ClassifierConfig) Validate() error {
	if c.Split < 0 || c.Split >= splits {
		return fmt.Errorf("tasks: split %v is none of train, valid, test", c.Split)
	}
	return c.options().validateNetwork(networks)
}

// validateNetwork reports the first mistake in the options of tasks of some kinds that train networks.
func (o Options) validateNetwork(kinds kindOfTask) error {
	if err := o.validateStart(); err != nil {
		return err
	}
	if err := o.validateChannels(0); err != nil {
		return err
	}
	o = o.withDefaults(kinds)
	switch {
	case o.ImageSize < 0 || o.ImageSize > maxImageSize:
		return fmt.Errorf("tasks: image-size %d, want 1 to %d (0 means the data's own size)", o.ImageSize, maxImageSize)
	case !(o.LabelNoise >= 0 && o.LabelNoise <= 1):
		return fmt.Errorf("tasks: label-noise %v, want a probability, 0 to 1", o.LabelNoise)
	case o.Examples < 0:
		return fmt.Errorf("tasks: examples %d, want at least 1 (0 means all)", o.Examples)
	case o.Channels == "" && (o.Units < 1 || o.Units > 1<<14):
		return fmt.Errorf("tasks: %d hidden units, want 1 to %d (0 means the default)", o.Units, 1<<14)
	case o.Channels == "" && (o.Layers < NoLayers || o.Layers > 100):
		return fmt.Errorf("tasks: %d hidden layers, want 1 to 100, or NoLayers (0 means the default)", o.Layers)
	case o.Batch < 1 || o.Batch > 1<<16:
		return fmt.Errorf("tasks: batch %d, want 1 to %d (0 means the default)", o.Batch, 1<<16)
	case !(o.InitScale > 0 && o.InitScale <= maxInitScale):
		return fmt.Errorf("tasks: initial scale %v, want above 0 and at most %d (0 means the default)", o.InitScale, maxInitScale)
	}
	return o.validateNames()
}

// A Classifier is a family of image classifiers: multilayer perceptrons with L
// hidden layers of H units,
//
//	h_0 = x,   h_l = a(h_{l−1} W_l + b_l),   z = h_L W_{L+1} + b_{L+1},
//	f_t(θ) = mean over minibatch t of  −log softmax(z)[label],
//
// on images x of F numbers in [0, 1], or rows x of a table, and C classes. On a regression the network has one output z, and
//
//	f_t(θ) = mean over minibatch t of  (z − y)².
//
// In both cases θ holds each layer's W
// (inputs×outputs, row-major) and then its b: 784·20 + 20 + 20·10 + 10 = 15,910
// coordinates by default. Weights and biases start at N(0, InitScale²), as in
// DeepMind's code, unless WeightInit says otherwise. A minibatch is B examples drawn with
// replacement. A problem's starting point and all its minibatches follow from one seed;
// Sample draws that seed.
//
// With Channels the network is convolutional. In place of h_l above, it has layers of 3×3 kernels K_l with
// stride 1 and a border of zeros, a maximum over squares of two by two pixels, and then the bias and the activation,
//
//	h_l = a(pool(h_{l−1} ∗ K_l) + b_l),   z = h_L W + b,
//
// with as many output channels as Channels says, and one dense layer W with all pixels and channels of h_L as its inputs. For an
// increasing activation this is the usual order of convolution, activation and pooling. θ holds each K (3 × 3 × inputs × outputs) and its b,
// and then W and b.
//
// A problem implements optimizer.Curvature with both metrics, scored and io.Closer.
// Close gives the problem's compiled network back to the family for the next Sample.
// A Classifier is safe for concurrent use.
type Classifier struct {
	data   *Dataset
	config Options // the options that classifiers read, with defaults filled in
	split  Split
	widths []int       // F, H, …, H, C of a multilayer perceptron
	conv   *conv.Shape // of a convolutional network, else nil
	layout optimizer.Layout
	pool   *pool
}

var _ optimizer.Family = (*Classifier)(nil)

// NewClassifier returns the family of classifiers of the given configuration on a data set.
func NewClassifier(data *Dataset, c ClassifierConfig) (*Classifier, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return newClassifier(data, c.options(), c.Split, newPool(1))
}

// newClassifier is NewClassifier for valid options and a pool that may be shared. It ignores options that
// classifiers do not read, such as the loss scale.
func newClassifier(data *Dataset, o Options, split Split, pool *pool) (*Classifier, error) {
	if data.Len(split) == 0 {
		return nil, fmt.Errorf("tasks: data set %s has no examples in its %v split", data.Name(), split)
	}
	if o.ImageSize != 0 {
		var err error
		if data, err = data.Resized(o.ImageSize); err != nil {
			return nil, err
		}
	}
	o.LossScale, o.GradientNoise, o.DataDir = 0, 0, ""
	data.describe(&o)
	f := &Classifier{data: data, config: o.withDefaults(data.kind()), split: split, pool: pool}
	if o.Channels != "" && data.table != nil {
		return nil, fmt.Errorf("tasks: channels %s on the data set %s, which has no images", o.Channels, data.name)
	}
	if o.LabelNoise > 0 && data.classes < 2 {
		return nil, fmt.Errorf("tasks: label-noise %v on the data set %s, which does not have two classes", o.LabelNoise, data.name)
	}
	if n := data.Len(split); o.Examples > n {
		return nil, fmt.Errorf("tasks: examples %d of the data set %s, whose %v split has %d", o.Examples, data.name, split, n)
	}
	var err error
	if f.conv, err = convolutionOf(data, o); err != nil {
		return nil, err
	}
	if f.conv != nil {
		f.layout, err = optimizer.NewLayout(convolutionTensors(*f.conv)...)
		return f, err
	}
	f.widths = []int{data.Features()}
	for range f.config.Layers { // no time for NoLayers
		f.widths = append(f.widths, f.config.Units)
	}
	f.widths = append(f.widths, data.outputs())
	f.layout, err = optimizer.NewLayout(perceptronTensors(f.widths)...)
	return f, err
}

// Name implements optimizer.Family, for example
// "mnist units=20 layers=1 activation=sigmoid batch=128". The name ends with the initial scale if it is not
// 0.01, the distribution of weights if it is not normal, the images' side if they were averaged down, the label noise if
// it is not 0, the number of examples if not all are used, and the split if it is not Train.
func (f *Classifier) Name() string {
	name := f.config.lists().words(f.data.name, f.data.kind())
	if f.split != Train {
		name += " split=" + f.split.String()
	}
	return name
}

// Dataset returns the data set that the family classifies, after averaging down.
func (f *Classifier) Dataset() *Dataset { return f.data }

// Sample implements optimizer.Family.
func (f *Classifier) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	seed := rng.Uint64()
	net, err := f.take()
	if err != nil {
		return nil, err
	}
	net.begin(seed, f.config)
	return &classifier{family: f, net: net, seed: seed}, nil
}

// take returns an idle compiled network, or a new one.
func (f *Classifier) take() (*network, error) {
	if net := f.pool.take(f.shape()); net != nil {
		return net, nil
	}
	return newNetwork(f)
}

// classifier is one sampled problem.
type classifier struct {
	family *Classifier
	net    *network // nil after Close
	seed   uint64
}

var (
	_ optimizer.Problem   = (*classifier)(nil)
	_ optimizer.Seeker    = (*classifier)(nil)
	_ optimizer.Curvature = (*classifier)(nil)
	_ scored              = (*classifier)(nil)
)

// Dim implements optimizer.Problem.
func (p *classifier) Dim() int { return p.family.layout.Len() }

// Init implements optimizer.Problem.
func (p *classifier) Init(theta []float32) {
	precondition.Length("tasks", "theta", theta, p.Dim())
	p.family.config.start(theta, p.family.layout.Tensors(), stream.New(p.seed, "init", 0))
}

// Seek implements optimizer.Seeker.
func (p *classifier) Seek(t int) { p.open().Seek(t) }

// LossGrad implements optimizer.Problem.
func (p *classifier) LossGrad(theta, grad []float32) (float64, error) {
	return p.open().LossGrad(theta, grad)
}

// EvaluateSplit implements scored. It neither uses nor moves the minibatches.
func (p *classifier) EvaluateSplit(theta []float32, split Split) (loss, accuracy float64, err error) {
	return p.family.EvaluateSplit(theta, split)
}

// Close gives the network back to the family.
func (p *classifier) Close() error {
	if p.net == nil {
		return nil
	}
	net := p.net
	p.net = nil
	return p.family.pool.put(p.family.shape(), net)
}

func (p *classifier) open() model {
	if p.net == nil {
		panic(errClosed)
	}
	return p.net.model
}
