package recipe

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"learnedopt/internal/stream"
	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// A Local holds what a training needs from the machine on which it runs.
type Local struct {
	// DataDir is the folder of data sets that are read from files. If it is "", tasks.DataDir looks it up.
	DataDir string
	// Init is the optimizer named by Recipe.Init. If it is nil, Config loads it.
	Init *metaopt.Optimizer
}

// Config returns the trainer's configuration, with its defaults filled in. It reads the task's data, and the file of Init
// unless local holds it. It returns an error if r is not valid, or if the data or the file cannot be read.
func (r Recipe) Config(local Local) (metatrain.TrainConfig, error) {
	if err := r.Validate(); err != nil {
		return metatrain.TrainConfig{}, err
	}
	r = r.WithDefaults()
	cfg, err := r.config()
	if err != nil {
		return cfg, err
	}
	if r.Init != "" {
		if local.Init == nil {
			if local.Init, err = LoadInit(r.Init); err != nil {
				return cfg, err
			}
		}
		if cfg.Initial, err = r.Start(local.Init.Network); err != nil {
			return cfg, err
		}
	}
	sampled := func(specs []tasks.Spec) ([]optimizer.Family, error) {
		if len(specs) == 1 { // refuses a folder of data that the task does not read
			f, err := specs[0].Family(local.DataDir)
			return []optimizer.Family{f}, err
		}
		return tasks.Families(local.DataDir, specs...)
	}
	if err := r.families(&cfg, sampled); err != nil {
		return cfg, err
	}
	if err := cfg.Validate(); err != nil {
		return cfg, err
	}
	return cfg.WithDefaults(), nil
}

// Network returns the shape of the network and how it is drawn. If Init is set, the file determines both, and Network
// returns zero values.
func (r Recipe) Network() (lstm.Config, lstm.Init, error) {
	r = r.WithDefaults()
	var cfg lstm.Config
	if r.Init != "" {
		return cfg, lstm.Init{}, nil
	}
	inputs, err := lstm.ParseInputs(r.Inputs)
	if err != nil {
		return cfg, lstm.Init{}, err
	}
	readout, err := lstm.ParseReadout(r.Readout)
	if err != nil {
		return cfg, lstm.Init{}, err
	}
	context, err := lstm.ParseContext(r.Context)
	if err != nil {
		return cfg, lstm.Init{}, err
	}
	cfg = lstm.Config{Inputs: inputs, Context: context, FanIn: r.FanIn, Orthogonal: r.Orthogonal, OrthogonalMean: r.OrthogonalMean, Hyper: r.Hyper, P: r.P, SignP: r.SignP, Hidden: r.Hidden, Layers: r.LSTMLayers, Readout: readout, Scale: r.Scale}
	if r.Anneal != nil {
		cfg.Anneal = *r.Anneal
	}
	return cfg.WithDefaults(), lstm.Init{Gain: r.Gain, InputGain: r.InputGain, Memory: *r.Memory}, nil
}

// config is the part of Config that needs nothing from the machine. r must have its defaults.
func (r Recipe) config() (metatrain.TrainConfig, error) {
	shape, start, err := r.Network()
	if err != nil {
		return metatrain.TrainConfig{}, err
	}
	estimator, err := r.estimator()
	if err != nil {
		return metatrain.TrainConfig{}, err
	}
	decaySteps := r.DecaySteps
	if *r.MetaLRDecay == 0 && decaySteps == 0 {
		// In a TrainConfig, 0 in both fields means a constant rate. But here the recipe asks for a decay to 0.
		if decaySteps = r.MetaSteps; decaySteps == 0 {
			return metatrain.TrainConfig{}, errors.New("recipe: the meta learning rate decays to 0, but only time limits the training; set meta_steps or decay_steps")
		}
	}
	return metatrain.TrainConfig{
		Network: shape, Init: start,
		Steps: r.Steps, Unroll: r.Unroll, Horizons: r.Horizons, StagePatience: r.StagePatience, RandomSteps: r.RandomSteps, HideLength: r.HideLength,
		MetaSteps: r.MetaSteps, Time: time.Duration(r.Time),
		MetaLearningRate: r.MetaLR, WarmUp: *r.WarmUp, FinalFraction: *r.MetaLRDecay, DecaySteps: decaySteps,
		Clip: float64(r.Clip), Batch: r.MetaBatch, Estimator: estimator,
		ValidEvery: r.ValidEvery, ValidRuns: r.ValidRuns, ValidSteps: r.ValidSteps, Selection: r.Selection, Patience: r.Patience,
		OnNonFinite: r.OnNonFinite, SkipLimit: r.SkipLimit, Seed: r.Seed,
	}, nil
}

// estimator returns the estimator of meta-gradients. r must have its defaults.
func (r Recipe) estimator() (metatrain.Estimator, error) {
	var objective metatrain.Objective
	switch r.Objective {
	case Sum:
		objective = metatrain.Sum{}
	case Last:
		objective = metatrain.Last{}
	case Log:
		objective = metatrain.Log{}
	case Ramp:
		objective = metatrain.Ramp{}
	case Relative:
		rule, err := ParseRule(r.Reference)
		if err != nil {
			return nil, err
		}
		objective = metatrain.Relative{Rule: rule}
	}
	var e metatrain.Estimator
	switch r.Estimator {
	case Backprop:
		e = metatrain.TruncatedBackprop{
			SecondDerivatives: r.second(), Differences: r.Hessian == Differences, AdjointClip: r.AdjointClip, Coordinates: r.AdjointCoordinates, Objective: objective,
		}
	case ES:
		e = metatrain.ES{Perturbation: r.Perturbation, Pairs: r.Pairs, Objective: objective}
	case PES:
		e = metatrain.PES{Perturbation: r.Perturbation, Pairs: r.Pairs, Objective: objective}
	}
	if r.Imitate == 0 {
		return e, nil
	}
	teacher, err := ParseRule(r.Teacher)
	if err != nil {
		return nil, err
	}
	return metatrain.Imitation{Teacher: teacher, Probability: r.Imitate, Estimator: e}, nil
}

// second says whether meta-gradients include second derivatives.
func (r Recipe) second() bool { return r.SecondDerivatives != nil && *r.SecondDerivatives }

// Start returns the network from which training starts: net, the network in Init's file, with Inputs, OrthogonalMean, Hyper and Anneal of r if
// they are set.
func (r Recipe) Start(net *lstm.Network) (*lstm.Network, error) {
	if r.Inputs != "" {
		inputs, err := lstm.ParseInputs(r.Inputs)
		if err != nil {
			return nil, err
		}
		if net, err = net.Extend(inputs); err != nil {
			return nil, err
		}
	}
	if r.OrthogonalMean {
		var err error
		if net, err = net.WithOrthogonalMean(); err != nil {
			return nil, err
		}
	}
	if r.Hyper > 0 {
		var err error
		if net, err = net.WithHyper(r.Hyper, stream.New(r.Seed, "hypernetwork", 0)); err != nil {
			return nil, err
		}
	}
	if r.Anneal != nil {
		return net.Annealed(*r.Anneal)
	}
	return net, nil
}

// families sets cfg's families, which makes makes.
func (r Recipe) families(cfg *metatrain.TrainConfig, makes func([]tasks.Spec) ([]optimizer.Family, error)) error {
	all, n, err := r.tasks()
	if err != nil {
		return err
	}
	families, err := makes(all)
	if err != nil {
		return err
	}
	family, err := union(families[:n])
	if err != nil {
		return err
	}
	cfg.Valid = family
	if r.ValidTask != "" {
		if cfg.Valid, err = union(families[n:]); err != nil {
			return err
		}
	}
	cfg.Family, err = r.augmented(family)
	return err
}

// tasks returns the tasks of training episodes and then, if they are others, the tasks of validations. n is the number of the
// former.
func (r Recipe) tasks() (all []tasks.Spec, n int, err error) {
	all = []tasks.Spec{r.Task}
	if r.Also != "" {
		also, err := parseTasks(r.Also)
		if err != nil {
			return nil, 0, err
		}
		all = append(all, also...)
	}
	n = len(all)
	if r.ValidTask != "" {
		valid, err := parseTasks(r.ValidTask)
		if err != nil {
			return nil, 0, err
		}
		all = append(all, valid...)
	}
	return all, n, nil
}

// Checksum returns the checksum of the data sets that the training reads from the folder dataDir: see tasks.Checksum.
func (r Recipe) Checksum(dataDir string) (string, error) {
	all, _, err := r.WithDefaults().tasks()
	if err != nil {
		return "", err
	}
	return tasks.Checksum(dataDir, all...)
}

// union returns the mixture of families, with their names joined, or the only one.
func union(families []optimizer.Family) (optimizer.Family, error) {
	if len(families) == 1 {
		return families[0], nil
	}
	var names []string
	for _, f := range families {
		names = append(names, f.Name())
	}
	return tasks.NewMixture(strings.Join(names, " | "), families...)
}

// augmented returns the family from which training episodes are drawn.
func (r Recipe) augmented(task optimizer.Family) (optimizer.Family, error) {
	if r.RandomScaling > 0 {
		scaling := tasks.RandomScaling{Family: task, Range: r.RandomScaling}
		if err := scaling.Validate(); err != nil {
			return nil, err
		}
		task = scaling
	}
	if r.TensorScaling > 0 {
		scaling := tasks.RandomScaling{Family: task, Range: r.TensorScaling, ByTensor: true}
		if err := scaling.Validate(); err != nil {
			return nil, err
		}
		half, err := tasks.NewMixture(scaling.Name()+" in every second episode", task, scaling)
		if err != nil {
			return nil, err
		}
		task = half
	}
	if r.Convex {
		task = tasks.Joint{Families: []optimizer.Family{task, tasks.RandomScaling{Family: tasks.Convex{}, Range: 1}}}
	}
	return task, nil
}

// PretrainedPrefix begins a Recipe.Init that names an optimizer of the library, not a file.
const PretrainedPrefix = "pretrained:"

// LoadInit loads the optimizer named by a Recipe.Init: a file, or an optimizer that comes with the library.
func LoadInit(name string) (*metaopt.Optimizer, error) {
	if pretrained, ok := strings.CutPrefix(name, PretrainedPrefix); ok {
		return metaopt.Pretrained(pretrained)
	}
	return metaopt.Load(name)
}

// unsampled is a family with only a name. Validate uses it, because validity does not depend on data.
type unsampled string

var _ optimizer.Family = unsampled("")

// Name implements optimizer.Family.
func (u unsampled) Name() string { return string(u) }

// Sample implements optimizer.Family.
func (u unsampled) Sample(*rand.Rand) (optimizer.Problem, error) {
	return nil, fmt.Errorf("recipe: %s has no data", string(u))
}

// Validate returns an error if r has a value that an option cannot have, options that exclude each other, or options that
// do not apply. It reads no files.
func (r Recipe) Validate() error {
	for _, o := range options() {
		if text := o.text(&r); text != "" {
			scratch := Recipe{}
			if err := o.set(&scratch, text); err != nil {
				return fmt.Errorf("recipe: --%s %q: %w", o.Name, text, err)
			}
		}
	}
	if err := r.exclusions(); err != nil {
		return err
	}
	r = r.WithDefaults()
	if err := r.Task.Validate(); err != nil {
		return err
	}
	cfg, err := r.config()
	if err != nil {
		return err
	}
	names := func(specs []tasks.Spec) ([]optimizer.Family, error) {
		var families []optimizer.Family
		for _, s := range specs {
			families = append(families, unsampled(s.String()))
		}
		return families, nil
	}
	if err := r.families(&cfg, names); err != nil {
		return err
	}
	return cfg.Validate()
}

// shapeOptions are the options that cannot be set together with Init.
var shapeOptions = []string{"context", "fan-in", "gain", "input-gain", "memory", "orthogonal", "readout", "scale", "p", "sign-p", "hidden", "lstm-layers"}

// exclusions returns an error if two set options exclude each other or an option does not apply.
func (r Recipe) exclusions() error {
	full := r.WithDefaults()
	inputs, err := lstm.ParseInputs(full.Inputs)
	if err != nil && full.Inputs != "" {
		return err
	}
	if r.Init != "" {
		for _, name := range shapeOptions {
			if o, err := Lookup(name); err != nil || o.text(&r) != "" {
				return fmt.Errorf("recipe: --%s and --init exclude each other: the file fixes the network's shape; drop one of them", name)
			}
		}
	} else if inputs&lstm.LogAndSign == 0 {
		switch {
		case r.P != 0:
			return fmt.Errorf("recipe: --p does not apply to --inputs %s; it is the p of logsign", full.Inputs)
		case r.SignP != 0:
			return fmt.Errorf("recipe: --sign-p does not apply to --inputs %s; it is the p of logsign's sign", full.Inputs)
		}
	}
	backprop := full.Estimator == Backprop
	switch {
	case r.MetaSteps != 0 && r.Time != 0:
		return errors.New("recipe: --time and --meta-steps are two limits of one training; set one of them")
	case len(r.Horizons) > 0 && r.Steps != 0:
		return errors.New("recipe: --horizons says how long episodes are, as --steps does; set one of them")
	case r.Patience != 0 && len(r.Horizons) > 0:
		return errors.New("recipe: --patience would end the training in the first stage of --horizons that needs it; set --stage-patience, the patience of a stage")
	case r.StagePatience != 0 && len(r.Horizons) == 0:
		return errors.New("recipe: --stage-patience is the patience of a stage of --horizons; set both, or --patience")
	case r.Seeds > 1 && r.MetaSteps == 0:
		return errors.New("recipe: --seeds needs --meta-steps as the limit of each seed: with a limit of time the number of meta-steps differs from run to run, and the command in the file could not repeat the training")
	case r.Seeds > 1 && r.Seed+uint64(r.Seeds-1) < r.Seed:
		return errors.New("recipe: --seeds goes beyond the last seed there is, 2^64-1; lower one of --seed and --seeds")
	case r.Imitate == 1 && full.Objective != Sum:
		return leftOut("objective")
	case r.Imitate == 1 && !backprop:
		return leftOut("estimator")
	case r.Imitate == 1 && r.second():
		return leftOut("second-derivatives")
	case r.Imitate == 1 && r.AdjointCoordinates > 0:
		return leftOut("adjoint-coordinates")
	case backprop && r.Perturbation != 0:
		return errors.New("recipe: --perturbation belongs to --estimator es or pes; set that, or drop it")
	case backprop && r.Pairs != 0:
		return errors.New("recipe: --pairs belongs to --estimator es or pes; set that, or drop it")
	case !backprop && (r.second() || r.AdjointCoordinates > 0):
		return fmt.Errorf("recipe: --second-derivatives and --adjoint-coordinates belong to --estimator backprop; drop them, or --estimator %s", r.Estimator)
	case r.second() && r.AdjointCoordinates > 0:
		return errors.New("recipe: --adjoint-coordinates needs independent coordinates, but --second-derivatives couples them; set one of them")
	case r.OrthogonalMean && r.AdjointCoordinates > 0:
		return errors.New("recipe: --adjoint-coordinates takes some coordinates of a tensor, but --orthogonal-mean averages over all of them; drop one of them")
	case r.Hyper > 0 && r.AdjointCoordinates > 0:
		return errors.New("recipe: --adjoint-coordinates takes some coordinates of a tensor, but --hyper needs all of them; drop one of them")
	case r.Hessian != "" && !full.second():
		return errors.New("recipe: --hessian is how --second-derivatives are computed; set that, or drop it")
	case r.AdjointClip > 0 && !full.second():
		return errors.New("recipe: --adjoint-clip bounds what --second-derivatives add; set that, or drop it")
	case r.Reference != "" && full.Objective != Relative:
		return errors.New("recipe: --reference belongs to --objective relative; set that, or drop it")
	case r.Teacher != "" && r.Imitate == 0:
		return errors.New("recipe: --teacher belongs to --imitate; set its probability, or drop it")
	}
	return nil
}

func leftOut(option string) error {
	return fmt.Errorf("recipe: --imitate 1 leaves no episode to --%s; drop it, or lower the probability", option)
}
