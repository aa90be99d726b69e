package command

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"learnedopt/internal/simd"
	"learnedopt/metaopt"
	"learnedopt/recipe"
	"learnedopt/runfolder"
)

func newVerify(a *app) *cobra.Command {
	var (
		dataDir string
		init    string
		quiet   bool
	)
	cmd := &cobra.Command{
		Use:   "verify FILE.mopt",
		Short: "Train an optimizer again by the recipe in its file, and compare the bits",
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
	fs.Var(textFlag{&init, "FILE"}, "init", "where the file is now that the training began from")
	fs.Var(textFlag{&dataDir, "DIR"}, "data-dir", "folder of the data sets; else $METAOPT_DATA, else the user's cache folder")
	fs.BoolVarP(&quiet, "quiet", "q", false, "no progress, no remarks")
	return cmd
}

// verify repeats the training of a file and compares the results.
func verify(ctx context.Context, a *app, path, init, dataDir string) error {
	if err := trainable(); err != nil {
		return err
	}
	want, err := load(path)
	if err != nil {
		return err
	}
	t, err := trainingOf(a, want.Provenance, init, dataDir)
	if err != nil {
		err = fmt.Errorf("%s cannot be verified: %w", path, err)
		if name, shipped := strings.CutPrefix(path, pretrainedPrefix); shipped && init == "" {
			err = fmt.Errorf("%w; metaopt/pretrained/%s.md in the repository has the command of each of its stages", err, name)
		}
		return err
	}
	if v := want.Provenance.Version; v != metaopt.Version() {
		a.note("the file is of version %s, this is %s", v, metaopt.Version())
	}
	dir, err := os.MkdirTemp("", "metaopt-verify-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	defer t.Close()
	if err := t.Create(dir); err != nil {
		return err
	}
	got, err := t.Train(ctx)
	if err != nil {
		return err
	}
	if difference := differs(want, got); difference != "" {
		return fmt.Errorf("not equal: %s; trained here by version %s on the kernels %s: another version, another processor or METAOPT_SIMD give other bits",
			difference, metaopt.Version(), simd.Float32().Path)
	}
	fmt.Fprintf(a.stdout, "equal: %s is what its recipe trains, bit for bit (%d parameters)\n", path, len(got.Network.Params()))
	return nil
}

// trainingOf prepares the training that a file's provenance describes. The file may come from a stranger; a recipe cannot say
// where files are written.
func trainingOf(a *app, p metaopt.Provenance, init, dataDir string) (*training, error) {
	r, err := recipe.Of(p)
	if err != nil {
		return nil, err
	}
	if init == "" {
		init = r.Init
	} else if r.Init == "" {
		return nil, usagef("--init: the training of this file did not begin from another one")
	}
	local := recipe.Local{DataDir: dataDir}
	if local.Init, err = loadInit(init); err != nil {
		if init == r.Init && !exists(init) {
			err = fmt.Errorf("%w; --init says where the file is that its training began from", err)
		}
		return nil, err
	}
	t, err := a.newTraining(r, local, runfolder.DefaultSettings())
	if err != nil {
		err = errors.New(err.Error()) // not a mistake in the command line, so not a usageError
	}
	return t, err
}

// differs says how two optimizers differ. It returns "" if they are equal.
func differs(want, got *metaopt.Optimizer) string {
	if w, g := runfolder.RecordNetwork(want.Network.Config()), runfolder.RecordNetwork(got.Network.Config()); w != g {
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
