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

// Provenance says how a learned optimizer came to be.
type Provenance = checkpoints.Provenance

// An Optimizer is a finished learned optimizer: a network and where it comes
// from. It is immutable and safe for concurrent use.
type Optimizer struct {
	// Network is the update rule.
	Network *lstm.Network
	// Provenance says how it was meta-trained, and may carry a name.
	Provenance Provenance

	guard *Guard
}

// Name returns the name that the provenance carries, or "learned".
func (o *Optimizer) Name() string {
	if o.Provenance.Name != "" {
		return o.Provenance.Name
	}
	return "learned"
}

// Rule returns o as a rule: the network, under o's guard if it has one.
func (o *Optimizer) Rule() optimizer.Rule {
	if o.guard != nil {
		return Guarded{o.Network, *o.guard}
	}
	return o.Network
}

// Start returns a fresh run on parameters of a layout: optimizer.Flat(n) if nothing is known of them but their number.
// The run's caller tells the parameters at each step, and the loss if o has a guard. It panics if the layout has no coordinate.
func (o *Optimizer) Start(layout optimizer.Layout) *Run {
	run, err := StartRule(o.Rule(), layout, optimizer.Needs{Theta: true, Loss: o.guard != nil})
	if err != nil {
		panic(err) // WithGuard has checked
	}
	return run
}

// Horizon returns the number of steps of the runs that o was meta-trained on, 0 if the file does
// not say. Longer runs are outside what it was trained for, whether or not they go well;
// Run.OnHorizon tells when. With lstm.Config.Anneal, which is part of a network, updates
// shrink from that step on, so that longer runs come to rest.
func (o *Optimizer) Horizon() int { return o.Provenance.Steps }

// kind is what a checkpoint of an Optimizer says it is.
const kind = "lstm-optimizer"

// fileConfig is the configuration in a checkpoint: everything that the
// parameters alone do not tell.
type fileConfig struct {
	Inputs  string  `msgpack:"inputs"`
	P       float64 `msgpack:"p"`
	SignP   float64 `msgpack:"sign_p,omitempty"` // where it is not P
	Dense   int     `msgpack:"dense"`
	Hidden  int     `msgpack:"hidden"`
	Layers  int     `msgpack:"layers"`
	Readout string  `msgpack:"readout"`
	Scale   float64 `msgpack:"scale"`
	Anneal  int     `msgpack:"anneal,omitempty"` // where updates shrink
}

// Write writes o as a checkpoint (docs/format.md).
func Write(w io.Writer, o *Optimizer) error {
	f, err := o.File()
	if err != nil {
		return err
	}
	return checkpoints.Write(w, f)
}

// Save writes o to a file, atomically: on an error a file that was there before
// is intact.
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

// File returns o as the content of a checkpoint, of kind "lstm-optimizer"
// (docs/format.md), for whoever stores it in another way than Write. The tensors
// are copies.
func (o *Optimizer) File() (*checkpoints.File, error) {
	cfg := o.Network.Config()
	f := &checkpoints.File{Kind: kind, Provenance: o.Provenance}
	signP := cfg.SignP
	if signP == cfg.P {
		signP = 0
	}
	err := f.EncodeConfig(fileConfig{
		Inputs: cfg.Inputs.String(), P: cfg.P, SignP: signP, Dense: cfg.Dense, Hidden: cfg.Hidden, Layers: cfg.Layers,
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

// FromFile is the inverse of File. Another kind, a configuration that is not an
// optimizer's, and a tensor that is missing, too many or of another shape are errors.
func FromFile(f *checkpoints.File) (*Optimizer, error) {
	if f.Kind != kind {
		return nil, fmt.Errorf("metaopt: the file holds a %q; an optimizer's is %q", f.Kind, kind)
	}
	var fc fileConfig
	if err := f.DecodeConfig(&fc); err != nil {
		return nil, err
	}
	cfg := lstm.Config{P: fc.P, SignP: fc.SignP, Dense: fc.Dense, Hidden: fc.Hidden, Layers: fc.Layers, NoLSTM: fc.Layers == 0, Scale: fc.Scale, Anneal: fc.Anneal}
	var err error
	if cfg.Inputs, err = lstm.ParseInputs(fc.Inputs); err != nil {
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

// Version returns the version of this module in the running program: the
// module's, the revision it was built from, or "devel".
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
