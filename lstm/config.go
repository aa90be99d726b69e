// Package lstm is the coordinatewise recurrent network of learned optimizers:
// one small LSTM reads each coordinate's gradient and writes its update, with
// parameters φ that all coordinates share (Andrychowicz et al. 2016,
// arXiv:1606.04474). The package has the forward pass, as an optimizer.Rule,
// and the adjoint over an unroll.
//
//	net, err := lstm.Init{}.Random(lstm.Config{Hidden: 20}, rng)
//	state := net.NewState(n)        // or net.Start(layout), as any optimizer.Rule's
//	state.Advance(update, gradient) // the state holds 80 floats per coordinate
//
// A Config says what the network reads (Inputs), how large it is, and how its output becomes an
// update (Readout, Scale). A Reference is the same network in float64, for tests.
package lstm

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"learnedopt/internal/nearest"
	"learnedopt/internal/simd"
)

// Inputs is the set of features that the network reads. Sets combine with |.
// Features enter the network in the order of the constants.
type Inputs uint8

const (
	// Raw is the gradient g itself, one feature. The code of Andrychowicz et al.
	// uses it on quadratics.
	Raw Inputs = 1 << iota
	// LogAndSign is the preprocessing of Andrychowicz et al. 2016,
	// Appendix A, two features:
	//
	//	(ln|g|/p, sgn g)  if |g| ≥ e^-p,  else  (-1, e^p·g)
	LogAndSign
	// RNNProp is the input of Lv et al. 2017 (arXiv:1703.03633), equations 1-4,
	// two features:
	//
	//	(m̂/(√v̂+ε), g/(√v̂+ε)),   β1 = β2 = 0.95, ε = 1e-8
	RNNProp
	// Clock is the time t in the run, 1 at the first step, the same for all
	// coordinates. It has two features, modelled on the time inputs of Metz et al.
	// 2020 (arXiv:2009.11243):
	//
	//	(ln(t)/5 - 1, 1/t)
	Clock
	// Momenta is what optimizers of many kinds read of a coordinate, six features that stay the same if all gradients
	// change their sign or are multiplied by a constant. With averages m of g, β = 0.9, 0.99 and 0.999, averages v and v' of
	// g², β = 0.999 and 0.95, all unbiased, and s = sgn m of β = 0.9:
	//
	//	s·g/√v,  s·m̂/√v for the three m,  s·m̂/√v' for β = 0.9,  (√v−√V)/(√v+√V)
	//
	// V is the mean of v over the tensor.
	Momenta
	inputsEnd
)

var inputNames = []string{"raw", "logsign", "rnnprop", "clock", "momenta"}

// String returns the set as "logsign+rnnprop"; the empty set is "".
func (in Inputs) String() string { return joined(uint8(in), inputNames) }

// ParseInputs is the inverse of String.
func ParseInputs(s string) (Inputs, error) {
	set, ok := parseJoined(s, inputNames)
	if !ok {
		return 0, fmt.Errorf("lstm: unknown inputs %q%s Use %s, or several joined by +", s, nearPart(s, inputNames), strings.Join(inputNames, ", "))
	}
	return Inputs(set), nil
}

// joined returns the names of the bits of a set, joined by +.
func joined(set uint8, names []string) string {
	var in []string
	for i, name := range names {
		if set&(1<<i) != 0 {
			in = append(in, name)
		}
	}
	return strings.Join(in, "+")
}

// parseJoined is the inverse of joined. ok is false if a name is unknown or there twice.
func parseJoined(text string, names []string) (set uint8, ok bool) {
	for name := range strings.SplitSeq(text, "+") {
		i := slices.Index(names, name)
		if i < 0 || set&(1<<i) != 0 {
			return 0, false
		}
		set |= 1 << i
	}
	return set, true
}

// nearPart is the middle of an error about a text that parseJoined does not read: the nearest name to the first unknown one.
func nearPart(text string, names []string) string {
	for name := range strings.SplitSeq(text, "+") {
		if !slices.Contains(names, name) {
			return nearest.DidYouMean(name, names)
		}
	}
	return ": a name is there twice."
}

// outputs returns the number of outputs of the last map that the read-out needs.
func (r Readout) outputs() int {
	switch r {
	case Exp:
		return 2
	case Mix:
		return simd.Mixed + 1
	}
	return 1
}

// outputs returns the number of outputs of the network's last map.
func (c Config) outputs() int {
	if c.Orthogonal {
		return c.Readout.outputs() + 1
	}
	return c.Readout.outputs()
}

// features returns the number of features.
func (in Inputs) features() int {
	n := 0
	for i, width := range [...]int{1, 2, 2, 2, simd.MomentaRows} {
		if in&(1<<i) != 0 {
			n += width
		}
	}
	return n
}

// Readout is the function between the last layer and the update.
type Readout uint8

const (
	// Linear is u = scale·(w·h + b), as in Andrychowicz et al. 2016.
	Linear Readout = iota
	// Tanh is u = scale·tanh(w·h + b), as in Lv et al. 2017, equation 5.
	Tanh
	// Exp is u = scale·d·exp(m) with (d, m) = w·h + b: a direction and the logarithm
	// of its length, as in Metz et al. 2020 (arXiv:2009.11243). Small and large
	// updates are equally easy to express.
	Exp
	// Mix is a sum of normalized gradients and momenta with weights that the network chooses, times a size that it
	// chooses too. With (a, z) = W·h + b:
	//
	//	u = scale·E(z)·(a_1 g/√v + a_2 m̂/√v + a_3 m̂_{.99}/√v + a_4 m̂/√v' + a_5 m̂/√V),   E(z) = (z + √(z²+1))²
	//
	// The averages are those of Momenta, which it needs. If the network has no inputs but Momenta, the update is odd in
	// the gradients. A coordinate that never had a gradient never moves, and one whose gradients have become 0 comes to
	// rest.
	Mix
	readoutEnd
)

var readoutNames = []string{"linear", "tanh", "exp", "mix"}

// String returns "linear", "tanh", "exp" or "mix".
func (r Readout) String() string {
	if r >= readoutEnd {
		return fmt.Sprintf("readout(%d)", uint8(r))
	}
	return readoutNames[r]
}

// ParseReadout is the inverse of String.
func ParseReadout(s string) (Readout, error) {
	for i, name := range readoutNames {
		if s == name {
			return Readout(i), nil
		}
	}
	return 0, fmt.Errorf("lstm: unknown read-out %q; use linear, tanh, exp or mix", s)
}

// Config is the shape of a network. The zero value is the network of
// Andrychowicz et al. 2016: log-and-sign inputs, two LSTM layers of 20 units, a
// linear read-out times 0.1.
type Config struct {
	// Inputs is the set of features. Default LogAndSign.
	Inputs Inputs
	// P is the p of LogAndSign. Default 5, as in the code of Andrychowicz et al. Their
	// paper has 10; here that gave worse optimizers on quadratics.
	P float64
	// SignP is the p of LogAndSign's second feature. The features are then
	//
	//	max(-1, ln|g|/P), clip(e^SignP·g, ±1)
	//
	// With a large P the network can distinguish small gradients; with a small SignP
	// the second feature stays proportional to g over a wider range. Default P.
	SignP float64
	// Context is what the network reads of the tensor and of the run. Default 0: nothing.
	Context Context
	// FanIn divides the updates of a tensor by r = inputs·rms(x)/248 if r ≥ 1, and by √r otherwise. inputs is the fan-in of
	// the tensor's layer and x are the layer's inputs, see NormContext; inputs·rms(x) is the distance by which a unit of
	// update moves the layer's outputs. For biases and tensors about which nothing is known, it counts as 32. (After Yang
	// et al. 2022, arXiv:2203.03466; the root was measured: with r itself, a new network's first steps are too large for
	// layers with few inputs.)
	FanIn bool
	// Orthogonal adds a direction to Mix: a_7·√l·O(0.9 m + 0.1 g) for matrices and convolutions, where m is the average of the
	// last ten gradients, this step's included, O is gemm.Orthogonalizer's approximation of the nearest matrix with
	// orthogonal rows or columns, and l is the matrix's longer side, so that the root mean square of the direction is about
	// 1. E multiplies it too. For other tensors it is 0. This is Muon's direction (Jordan et al. 2024) with μ = 0.9: it
	// takes the correlations between the inputs of a layer into account, which no coordinate sees. Where a coordinate never
	// had a gradient, O is replaced by 0.
	Orthogonal bool
	// OrthogonalMean gives the orthogonal direction of a tensor one weight: the mean of a_7·E over the tensor's coordinates.
	// A weight a coordinate makes the direction's singular values unequal again.
	OrthogonalMean bool
	// Hyper is the number of hidden units of a small network that reads the context of a tensor, and says how much of two
	// directions the tensor gets: with the context x,
	//
	//	f = exp(W_2ᵀ tanh(W_1ᵀ x + b_1) + b_2),   update = f_1·(mixture) + f_2·(orthogonal direction)
	//
	// So the choice between directions need not go through the coordinates' network. It costs nothing a coordinate. (A
	// hypernetwork for each tensor: Metz et al. 2022, arXiv:2211.09760, whose is an LSTM.) It needs Mix and a Context; with Orthogonal,
	// OrthogonalMean too. Default 0: all factors are 1.
	Hyper int
	// Dense is the width of a fully connected layer with ELU activation
	// between the features and the first LSTM layer, as in the code of Lv et
	// al. 2017. Default 0: no such layer.
	Dense int
	// Hidden is the width H of each LSTM layer. Default 20.
	Hidden int
	// Layers is the number of LSTM layers. Default 2.
	Layers int
	// NoLSTM leaves out the LSTM layers: the read-out reads the features, or the
	// dense layer if there is one. Hidden and Layers must then be 0.
	NoLSTM bool
	// Readout is the network's last function. Default Linear.
	Readout Readout
	// Scale multiplies the read-out. Default 0.1.
	Scale float64
	// Anneal is the step after which updates shrink: the update of step t, t ≥ 1, is
	// multiplied by min(1, √(Anneal/t)). A run longer than the training runs then still
	// comes to rest despite the noise of its minibatches (Robbins and Monro 1951; the
	// exponent ½ follows Polyak and Juditsky 1992). Default 0: updates never shrink.
	Anneal int
}

// Limits of a Config, so that a hostile file cannot ask for unbounded memory.
const (
	maxHidden = 1024
	maxLayers = 16
	maxP      = 80 // e^p must be a float32
)

// WithDefaults returns c with its defaults filled in.
func (c Config) WithDefaults() Config {
	if c.Inputs == 0 {
		c.Inputs = LogAndSign
	}
	if c.P == 0 {
		c.P = 5
	}
	if c.SignP == 0 {
		c.SignP = c.P
	}
	if !c.NoLSTM {
		if c.Hidden == 0 {
			c.Hidden = 20
		}
		if c.Layers == 0 {
			c.Layers = 2
		}
	}
	if c.Scale == 0 {
		c.Scale = 0.1
	}
	return c
}

// Validate returns an error if c, with its defaults filled in, is not valid.
func (c Config) Validate() error {
	c = c.WithDefaults()
	switch {
	case c.Inputs >= inputsEnd:
		return fmt.Errorf("lstm: unknown bits in inputs %#x", uint8(c.Inputs))
	case !(c.P > 0 && c.P <= maxP):
		return fmt.Errorf("lstm: p of log-and-sign is %v; it must be in (0, %d]", c.P, maxP)
	case !(c.SignP > 0 && c.SignP <= maxP):
		return fmt.Errorf("lstm: p of log-and-sign's sign is %v; it must be in (0, %d]", c.SignP, maxP)
	case c.Context >= contextEnd:
		return fmt.Errorf("lstm: unknown bits in context %#x", uint8(c.Context))
	case c.Readout == Mix && c.Inputs&Momenta == 0:
		return errors.New("lstm: the read-out mix combines the momenta; add momenta to the inputs")
	case c.Orthogonal && c.Readout != Mix:
		return errors.New("lstm: the orthogonal direction belongs to the read-out mix; choose this read-out")
	case c.OrthogonalMean && !c.Orthogonal:
		return errors.New("lstm: the mean weight belongs to the orthogonal direction; add this direction")
	case c.Hyper < 0 || c.Hyper > maxHidden:
		return fmt.Errorf("lstm: a hypernetwork of %d hidden units; it must be in [0, %d]", c.Hyper, maxHidden)
	case c.Hyper > 0 && (c.Readout != Mix || c.Context == 0):
		return errors.New("lstm: the hypernetwork reads a context and multiplies the directions of the read-out mix; choose both")
	case c.Hyper > 0 && c.Orthogonal && !c.OrthogonalMean:
		return errors.New("lstm: the hypernetwork multiplies an orthogonal direction with one weight a tensor; set OrthogonalMean")
	case c.Dense < 0 || c.Dense > maxHidden:
		return fmt.Errorf("lstm: dense layer of %d units; it must be in [0, %d]", c.Dense, maxHidden)
	case c.NoLSTM && (c.Hidden != 0 || c.Layers != 0):
		return errors.New("lstm: a network without LSTM layers has neither hidden units nor layers; set both to 0")
	case !c.NoLSTM && (c.Hidden < 1 || c.Hidden > maxHidden):
		return fmt.Errorf("lstm: %d hidden units; there must be 1 to %d", c.Hidden, maxHidden)
	case !c.NoLSTM && (c.Layers < 1 || c.Layers > maxLayers):
		return fmt.Errorf("lstm: %d layers; there must be 1 to %d", c.Layers, maxLayers)
	case c.Readout >= readoutEnd:
		return fmt.Errorf("lstm: unknown read-out %d", uint8(c.Readout))
	case math.IsNaN(c.Scale) || math.IsInf(c.Scale, 0):
		return fmt.Errorf("lstm: output scale is %v; it must be finite", c.Scale)
	case c.Anneal < 0:
		return fmt.Errorf("lstm: updates shrink after %d steps; it must not be negative", c.Anneal)
	}
	return nil
}
