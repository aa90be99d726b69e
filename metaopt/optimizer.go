package metaopt

import (
	"fmt"
	"io"
	"reflect"
	"runtime/debug"
	"strings"

	"learnedopt/checkpoints"
	"learnedopt/lstm"
	"learnedopt/optimizer"
)

// Provenance says how a learned optimizer was made.
type Provenance = checkpoints.Provenance

// An Optimizer is a finished learned optimizer: a network and its
// provenance. It is immutable and safe for concurrent use.
type Optimizer struct {
	// Network is the update rule.
	Network *lstm.Network
	// Provenance says how the network was meta-trained, and may hold a name.
	Provenance Provenance

	guard *Guard
}

// Name returns the name in the provenance, or "learned" if there is none.
func (o *Optimizer) Name() string {
	if o.Provenance.Name != "" {
		return o.Provenance.Name
	}
	return "learned"
}

// Rule returns o as a rule: the network, under o's guard if there is one.
func (o *Optimizer) Rule() optimizer.Rule {
	if o.guard != nil {
		return Guarded{o.Network, *o.guard}
	}
	return o.Network
}

// WithHalfState returns o with runs that keep the hidden states of its LSTM layers as float16, which halves most of their memory
// (lstm.Network.WithHalfState). Save does not save this choice.
func (o *Optimizer) WithHalfState() *Optimizer {
	half := *o
	half.Network = o.Network.WithHalfState()
	return &half
}

// Start returns a fresh run on parameters of a layout. If you know only their number n, use optimizer.Flat(n).
// At each step the run needs the parameters, and the loss if o has a guard. Start panics if the layout has no coordinate.
func (o *Optimizer) Start(layout optimizer.Layout) *Run {
	run, err := StartRule(o.Rule(), layout, optimizer.Needs{Theta: true, Loss: o.guard != nil})
	if err != nil {
		panic(err) // WithGuard has checked
	}
	return run
}

// Horizon returns the length, in steps, of the runs that o was meta-trained on. It is 0 if the file does
// not say. A longer run is outside the training of o, whether or not it goes well;
// Run.OnHorizon reports it. A network with lstm.Config.Anneal shrinks its updates from
// the step Anneal on, so that longer runs come to rest.
func (o *Optimizer) Horizon() int { return o.Provenance.Steps }

// kind is the kind of a checkpoint that holds an Optimizer.
const kind = "lstm-optimizer"

// fileConfig is the configuration in a checkpoint: everything that a reader
// cannot see from the parameters alone.
type fileConfig struct {
	Inputs         string  `msgpack:"inputs"`
	Context        string  `msgpack:"context,omitempty"`
	FanIn          bool    `msgpack:"fan_in,omitempty"`
	Orthogonal     bool    `msgpack:"orthogonal,omitempty"`
	OrthogonalMean bool    `msgpack:"orthogonal_mean,omitempty"`
	Hyper          int     `msgpack:"hyper,omitempty"`
	P              float64 `msgpack:"p"`
	SignP          float64 `msgpack:"sign_p,omitempty"` // left out if equal to P
	Dense          int     `msgpack:"dense"`
	Hidden         int     `msgpack:"hidden"`
	Layers         int     `msgpack:"layers"`
	Readout        string  `msgpack:"readout"`
	Scale          float64 `msgpack:"scale"`
	Anneal         int     `msgpack:"anneal,omitempty"` // the step from which updates shrink
}

// Write writes o as a checkpoint (docs/format.md).
func Write(w io.Writer, o *Optimizer) error {
	f, err := o.File()
	if err != nil {
		return err
	}
	return checkpoints.Write(w, f)
}

// Save writes o to a file, atomically: an error leaves an existing file
// unchanged.
func Save(path string, o *Optimizer) error {
	f, err := o.File()
	if err != nil {
		return err
	}
	return checkpoints.Save(path, f)
}

// Read reads a checkpoint. Malformed input is a *checkpoints.FormatError.
func Read(r io.Reader) (*Optimizer, error) {
	f, err := checkpoints.Read(r)
	if err != nil {
		return nil, err
	}
	return FromFile(f)
}

// Load reads a checkpoint from a file. Malformed input is a
// *checkpoints.FormatError.
func Load(path string) (*Optimizer, error) {
	f, err := checkpoints.Load(path)
	if err != nil {
		return nil, err
	}
	o, err := FromFile(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return o, nil
}

// File returns o as the content of a checkpoint of kind "lstm-optimizer"
// (docs/format.md), for programs that do not store it with Write. The tensors
// are copies.
func (o *Optimizer) File() (*checkpoints.File, error) {
	cfg := o.Network.Config()
	f := &checkpoints.File{Kind: kind, Provenance: o.Provenance}
	signP := cfg.SignP
	if signP == cfg.P {
		signP = 0
	}
	err := f.EncodeConfig(fileConfig{
		Inputs: cfg.Inputs.String(), Context: cfg.Context.String(), FanIn: cfg.FanIn, Orthogonal: cfg.Orthogonal, OrthogonalMean: cfg.OrthogonalMean, Hyper: cfg.Hyper, P: cfg.P, SignP: signP, Dense: cfg.Dense, Hidden: cfg.Hidden, Layers: cfg.Layers,
		Readout: cfg.Readout.String(), Scale: cfg.Scale, Anneal: cfg.Anneal,
	})
	if err != nil {
		return nil, err
	}
	for _, t := range o.Network.Tensors() {
		f.Tensors = append(f.Tensors, checkpoints.Tensor{Name: t.Name, Shape: t.Shape, Data: t.Data})
	}
	return f, nil
}

// FromFile is the inverse of File. It returns an error for a file of another kind, for an invalid
// configuration, and for a tensor that is missing, unexpected or of the wrong shape.
func FromFile(f *checkpoints.File) (*Optimizer, error) {
	if f.Kind != kind {
		return nil, fmt.Errorf("metaopt: the file holds a %q; an optimizer's is %q", f.Kind, kind)
	}
	var fc fileConfig
	if err := f.DecodeConfig(&fc); err != nil {
		return nil, err
	}
	cfg := lstm.Config{FanIn: fc.FanIn, Orthogonal: fc.Orthogonal, OrthogonalMean: fc.OrthogonalMean, Hyper: fc.Hyper, P: fc.P, SignP: fc.SignP, Dense: fc.Dense, Hidden: fc.Hidden, Layers: fc.Layers, NoLSTM: fc.Layers == 0, Scale: fc.Scale, Anneal: fc.Anneal}
	var err error
	if cfg.Inputs, err = lstm.ParseInputs(fc.Inputs); err != nil {
		return nil, err
	}
	if cfg.Context, err = lstm.ParseContext(fc.Context); err != nil {
		return nil, err
	}
	if cfg.Readout, err = lstm.ParseReadout(fc.Readout); err != nil {
		return nil, err
	}
	if fc.Scale == 0 || fc.P == 0 {
		return nil, fmt.Errorf("metaopt: the file's scale is %v and its p %v; neither can be 0", fc.Scale, fc.P)
	}
	layout, err := lstm.Layout(cfg)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, t := range layout {
		names = append(names, t.Name)
	}
	if err := f.Expect(names...); err != nil {
		return nil, err
	}
	var phi []float32
	for _, t := range layout {
		data, err := f.Float32(t.Name, t.Shape...)
		if err != nil {
			return nil, err
		}
		phi = append(phi, data...)
	}
	net, err := lstm.NewNetwork(cfg, phi)
	if err != nil {
		return nil, err
	}
	return &Optimizer{Network: net, Provenance: f.Provenance}, nil
}

// Version returns the version of this module in the running program. It is the
// module version, the revision that the program was built from, or "devel".
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	path := strings.TrimSuffix(reflect.TypeFor[Optimizer]().PkgPath(), "/metaopt")
	version := info.Main.Version
	if info.Main.Path != path {
		for _, dep := range info.Deps {
			if dep.Path == path {
				version = dep.Version
			}
		}
	}
	if version == "" || version == "(devel)" {
		return "devel"
	}
	return version
}
