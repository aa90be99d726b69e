package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"learnedopt/internal/simd"
	"learnedopt/metaopt"
)

func newVerify(a *app) *cobra.Command {
	var (
		dataDir string
		init    string
		quiet   bool
	)
	cmd := &cobra.Command{
		Use:   "verify FILE.mopt",
		Short: "Train an optimizer again by the command in its file, and compare the bits",
		Long: `Run the meta-training that a file says it comes from, in a temporary folder, and tell whether
the network that comes out is the one in the file, bit for bit. It takes as long as the
training did. Exit status 0: equal; 1: not, or it could not be told.

Bits are those of one version of this program and of one path of kernels (METAOPT_SIMD and
the processor), on any number of cores. A training that began from a file (--init) needs
that file.`,
		Example: `  metaopt verify runs/quadratic-uniform-seed0/optimizer.mopt
  metaopt verify mlp.mopt --init stage1.mopt`,
		Args:              exactArgs("the file of an optimizer, or pretrained:NAME"),
		ValidArgsFunction: completeOptimizers,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.quiet = quiet
			return verify(cmd.Context(), a, args[0], init, dataDir)
		},
	}
	fs := cmd.Flags()
	fs.Var(text{&init, "FILE"}, "init", "where the file is now that the training began from")
	fs.Var(text{&dataDir, "DIR"}, "data-dir", "folder of the data sets; else $METAOPT_DATA, else the user's cache folder")
	fs.BoolVarP(&quiet, "quiet", "q", false, "no progress, no remarks")
	return cmd
}

// verify trains again what is in a file.
func verify(ctx context.Context, a *app, path, init, dataDir string) error {
	want, err := load(path)
	if err != nil {
		return err
	}
	t, err := trainingOf(a, want.Provenance.Command, init, dataDir)
	if err != nil {
		return fmt.Errorf("%s cannot be verified: %w", path, err)
	}
	if v := want.Provenance.Version; v != metaopt.Version() {
		a.note("the file is of version %s, this is %s", v, metaopt.Version())
	}
	if t.dir, err = os.MkdirTemp("", "metaopt-verify-"); err != nil {
		return err
	}
	defer os.RemoveAll(t.dir)
	if t.log, err = openLog(t.dir, 0); err != nil {
		return err
	}
	got, err := t.trainAll(ctx)
	if logErr := t.log.close(); err == nil {
		err = logErr
	}
	if err != nil {
		return err
	}
	if difference := differs(want, got); difference != "" {
		return fmt.Errorf("not equal: %s; trained here by version %s on the kernels %s: another version, another processor or METAOPT_SIMD give other bits",
			difference, metaopt.Version(), simd.Float32().Path)
	}
	fmt.Fprintf(a.stdout, "equal: %s is what its command trains, bit for bit (%d parameters)\n", path, len(got.Network.Params()))
	return nil
}

// trainingOf prepares the training of a command line of a file, which may be anybody's: only flags that such a
// command has are taken, and none of them writes anywhere.
func trainingOf(a *app, command, init, dataDir string) (*training, error) {
	if command == "" {
		return nil, errors.New("it does not say by which command it was made")
	}
	args, err := shellSplit(command)
	if err != nil || len(args) < 2 || args[0] != "metaopt" || args[1] != "meta-train" {
		return nil, fmt.Errorf("it was not made by metaopt meta-train but by %q", command)
	}
	f := newTrainFlags()
	cmd := &cobra.Command{Use: "meta-train"}
	f.add(cmd)
	if err := cmd.ParseFlags(args[2:]); err != nil {
		return nil, fmt.Errorf("its command is of another version of this program: %w", err)
	}
	fs := cmd.Flags()
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("its command has an argument %q", fs.Arg(0))
	}
	foreign := append(slices.Clone(localFlags), "tensorboard", "replay", "until", "time", "save-every", "data-dir")
	fs.Visit(func(flag *pflag.Flag) {
		if slices.Contains(foreign, flag.Name) {
			err = errors.Join(err, fmt.Errorf("its command has --%s, which no file is made with", flag.Name))
		}
	})
	if err != nil {
		return nil, err
	}
	if !fs.Changed("meta-steps") {
		return nil, errors.New("its command has no --meta-steps: how far it went depended on the machine")
	}
	for name, value := range map[string]string{"init": init, "data-dir": dataDir} {
		if value == "" {
			continue
		}
		if name == "init" && !fs.Changed(name) {
			return nil, usagef("--init: the training of this file did not begin from another one")
		}
		if err := fs.Set(name, value); err != nil {
			return nil, err
		}
	}
	t, err := f.prepare(a, fs.Changed)
	if err != nil {
		err = errors.New(err.Error()) // no mistake of whoever called
	}
	if from := f.network.init; err != nil && init == "" && from != "" && !exists(from) {
		return nil, fmt.Errorf("%w; --init says where the file is that its training began from", err)
	}
	return t, err
}

// differs says in what two optimizers differ, "" if in nothing.
func differs(want, got *metaopt.Optimizer) string {
	if w, g := recordNetwork(want.Network.Config()), recordNetwork(got.Network.Config()); w != g {
		return fmt.Sprintf("the file's network is %+v, trained again it is %+v", w, g)
	}
	a, b := want.Network.Params(), got.Network.Params()
	count, largest := 0, 0.0
	for i := range a {
		if math.Float64bits(float64(a[i])) != math.Float64bits(float64(b[i])) {
			count++
			largest = max(largest, math.Abs(float64(a[i])-float64(b[i])))
		}
	}
	w, g := want.Provenance, got.Provenance
	switch {
	case count > 0:
		return fmt.Sprintf("%d of %d parameters differ, by up to %.3g; the file's validation loss is %.6g at meta-step %d, trained again %.6g at %d",
			count, len(a), largest, w.ValidLoss, w.MetaSteps, g.ValidLoss, g.MetaSteps)
	case w.MetaSteps != g.MetaSteps || w.ValidLoss != g.ValidLoss || w.Steps != g.Steps || w.Unroll != g.Unroll || w.Seed != g.Seed || w.MetaLearningRate != g.MetaLearningRate:
		text := func(p metaopt.Provenance) string {
			return fmt.Sprintf("meta-step %d, validation loss %g, %d steps in windows of %d, meta learning rate %g, seed %d", p.MetaSteps, p.ValidLoss, p.Steps, p.Unroll, p.MetaLearningRate, p.Seed)
		}
		return fmt.Sprintf("the parameters are the same, but the file says %s, and trained again %s", text(w), text(g))
	}
	return ""
}

// shellSplit takes a command line apart that shellQuote put together.
func shellSplit(line string) ([]string, error) {
	var (
		args   []string
		arg    strings.Builder
		inside bool // an argument
	)
	for rest := line; rest != ""; {
		switch c := rest[0]; {
		case c == '\'':
			text, after, ok := strings.Cut(rest[1:], "'")
			if !ok {
				return nil, fmt.Errorf("a quote is not closed in %q", line)
			}
			arg.WriteString(text)
			rest, inside = after, true
		case c == '\\' && len(rest) > 1:
			arg.WriteByte(rest[1])
			rest, inside = rest[2:], true
		case c == ' ':
			if inside {
				args = append(args, arg.String())
				arg.Reset()
			}
			rest, inside = rest[1:], false
		default:
			arg.WriteByte(c)
			rest, inside = rest[1:], true
		}
	}
	if inside {
		args = append(args, arg.String())
	}
	return args, nil
}
