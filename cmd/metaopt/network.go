package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"learnedopt/lstm"
	"learnedopt/metaopt"
)

// networkFlags are the shape of a network, or a file to start from.
type networkFlags struct {
	inputs, readout string
	cfg             lstm.Config
	init            string
	start           lstm.Init
	loaded          *metaopt.Optimizer // what init holds, as it was when the training began
}

// shapeFlags are those that --init rules out. With --init, --inputs may name more
// than the file has, and --anneal may be set.
var shapeFlags = []string{"gain", "input-gain", "memory", "readout", "scale", "p", "sign-p", "hidden", "lstm-layers"}

func (n *networkFlags) add(cmd *cobra.Command) {
	n.cfg = lstm.Config{}.WithDefaults()
	n.cfg.SignP = 0
	fs := cmd.Flags()
	n.inputs = defaultInputs
	fs.Var(text{&n.inputs, "NAMES"}, "inputs", "what the network reads of a gradient: logsign, rnnprop, raw, clock, joined with +")
	fs.Var(choice{&n.readout, []string{"linear", "tanh", "exp"}}, "readout", "function that ends the network: linear, tanh or exp (tanh for rnnprop alone, else linear, unless set)")
	fs.Var(factor{&n.cfg.Scale, false}, "scale", "factor of the read-out")
	fs.Var(factor{&n.cfg.P, false}, "p", "p of logsign: gradients below exp(-p) count as small")
	fs.Var(factor{&n.cfg.SignP, false}, "sign-p", "p of logsign's sign (that of --p unless set)")
	fs.Var(count{&n.cfg.Anneal, 0}, "anneal", "step after which updates shrink with 1/√t (0 is never)")
	fs.Var(count{&n.cfg.Hidden, 1}, "hidden", "units of each LSTM layer")
	fs.Var(count{&n.cfg.Layers, 1}, "lstm-layers", "LSTM layers")
	n.start = n.start.WithDefaults()
	fs.Var(factor{&n.start.Gain, false}, "gain", "factor of the LSTM layers' initial weights")
	fs.Var(factor{&n.start.InputGain, false}, "input-gain", "factor of the initial weights of what the network reads, beside --gain")
	fs.Var(optional{&n.start.Memory}, "memory", "longest initial memory of the LSTM's units, in steps (forget biases like the others unless set)")
	fs.Var(text{&n.init, "FILE"}, "init", "start from the network in a .mopt file, or from pretrained:NAME")
	complete(cmd, "inputs", "logsign", "rnnprop", "raw", "logsign+rnnprop", "logsign+rnnprop+clock")
	complete(cmd, "readout", "linear", "tanh", "exp")
	if err := cmd.RegisterFlagCompletionFunc("init", completeOptimizers); err != nil {
		panic("metaopt: " + err.Error())
	}
}

// config returns the shape, and the optimizer to start from if there is one.
// set says which flags the user set.
func (n *networkFlags) config(set func(string) bool) (lstm.Config, *metaopt.Optimizer, error) {
	if n.init != "" {
		for _, flag := range shapeFlags {
			if set(flag) {
				return lstm.Config{}, nil, usagef("--%s and --init exclude each other: the file fixes the network's shape; drop one of them", flag)
			}
		}
		if n.loaded == nil {
			var err error
			if n.loaded, err = load(n.init); err != nil {
				return lstm.Config{}, nil, err
			}
		}
		start := *n.loaded
		o := &start
		var err error
		if set("inputs") {
			if err := n.extend(o); err != nil {
				return lstm.Config{}, nil, err
			}
		}
		if set("anneal") {
			if o.Network, err = o.Network.Annealed(n.cfg.Anneal); err != nil {
				return lstm.Config{}, nil, asUsage(err)
			}
		}
		return o.Network.Config(), o, nil
	}
	cfg := n.cfg
	var err error
	if cfg.Inputs, err = lstm.ParseInputs(n.inputs); err != nil {
		return cfg, nil, usagef("--inputs: %w", err)
	}
	if cfg.Inputs&lstm.LogAndSign == 0 && set("p") {
		return cfg, nil, usagef("--p does not apply to --inputs %s; it is the p of logsign", n.inputs)
	}
	if cfg.Inputs&lstm.LogAndSign == 0 && set("sign-p") {
		return cfg, nil, usagef("--sign-p does not apply to --inputs %s; it is the p of logsign's sign", n.inputs)
	}
	cfg.SignP = cfg.WithDefaults().SignP
	readout := n.readout
	if readout == "" {
		readout = lstm.Linear.String()
		if cfg.Inputs == lstm.RNNProp {
			readout = lstm.Tanh.String()
		}
	}
	if cfg.Readout, err = lstm.ParseReadout(readout); err != nil {
		return cfg, nil, usagef("--readout: %w", err)
	}
	return cfg, nil, asUsage(cfg.Validate())
}

// extend makes the network that training starts from read more.
func (n *networkFlags) extend(o *metaopt.Optimizer) error {
	inputs, err := lstm.ParseInputs(n.inputs)
	if err != nil {
		return usagef("--inputs: %w", err)
	}
	o.Network, err = o.Network.Extend(inputs)
	return asUsage(err)
}

// networkArgs are the flags that make a network of this shape.
func networkArgs(cfg lstm.Config) []string {
	args := []string{"--inputs", cfg.Inputs.String()}
	if cfg.Inputs&lstm.LogAndSign != 0 {
		args = append(args, "--p", float(cfg.P))
		if cfg.SignP != 0 && cfg.SignP != cfg.P {
			args = append(args, "--sign-p", float(cfg.SignP))
		}
	}
	return append(args, "--hidden", strconv.Itoa(cfg.Hidden), "--lstm-layers", strconv.Itoa(cfg.Layers),
		"--readout", cfg.Readout.String(), "--scale", float(cfg.Scale))
}

// initArgs are the flags that draw a network like this.
func initArgs(in lstm.Init) (args []string) {
	in = in.WithDefaults()
	if in.Gain != 1 {
		args = append(args, "--gain", float(in.Gain))
	}
	if in.InputGain != 1 {
		args = append(args, "--input-gain", float(in.InputGain))
	}
	if in.Memory != 0 {
		args = append(args, "--memory", float(in.Memory))
	}
	return args
}

// optional is a factor that is not set unless it is.
type optional struct{ p *float64 }

func (o optional) String() string {
	if o.p == nil || *o.p == 0 {
		return ""
	}
	return float(*o.p)
}

func (o optional) Set(s string) error { return factor{o.p, false}.Set(s) }

func (o optional) Type() string { return "F" }

func float(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
