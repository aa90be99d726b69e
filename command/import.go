package command

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"learnedopt/checkpoints/exchange"
	"learnedopt/metaopt"
)

func newImport(a *app) *cobra.Command {
	var out, name string
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Convert an exported or a published optimizer to a .mopt file",
		Long: `Convert to a .mopt file what metaopt export or a Python program has written, in npz,
safetensors or the msgpack of flax, or an optimizer that DeepMind's learning-to-learn
code or one of its descendants has (a pickle of weights, .l2l). What a file is, its
content tells, not its name. No code in it is executed.`,
		Example: `  metaopt import dm_aug.l2l --out dm_aug.mopt
  metaopt import edited.npz --name edited`,
		Args:              exactArgs("a FILE"),
		ValidArgsFunction: completeFiles("l2l", "npz", "safetensors", "msgpack"),
		RunE: func(_ *cobra.Command, args []string) error {
			base := strings.TrimSuffix(filepath.Base(args[0]), filepath.Ext(args[0]))
			if out == "" {
				out = filepath.Join(filepath.Dir(args[0]), base+".mopt")
			}
			if err := checkTarget("out", out); err != nil {
				return err
			}
			if err := absent("out", out); err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return fmt.Errorf("%w; name a file that there is", err)
			}
			defer f.Close()
			o, err := importOptimizer(f, base)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if name != "" {
				o.Provenance.Name = name
			}
			if err := metaopt.Save(out, o); err != nil {
				return err
			}
			task := "" // that of the file
			if o.Provenance.Task == "" {
				task = " --task mnist"
			}
			fmt.Fprintf(a.stdout, "Written to %s. Compare it with tuned rules: metaopt compare %[1]s%s\n", out, task)
			return nil
		},
	}
	cmd.Flags().Var(textFlag{&out, "FILE"}, "out", "the .mopt file to write (beside FILE unless set)")
	cmd.Flags().Var(textFlag{&name, "NAME"}, "name", "name that the optimizer carries in tables (for an .l2l file, its own unless set)")
	return cmd
}

// importOptimizer reads an optimizer in any format except .mopt. Published weights have no provenance and get the name name.
func importOptimizer(file io.Reader, name string) (*metaopt.Optimizer, error) {
	r := bufio.NewReader(file)
	head, err := r.Peek(exchange.Peek)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if strings.HasPrefix(string(head), "\x89MOPT") {
		return nil, errors.New("it is a .mopt file; every command reads it as it is")
	}
	if _, ok := exchange.Detect(head); ok {
		f, format, err := exchange.Read(r)
		if err != nil {
			return nil, withRemedy(err, "export the optimizer again with metaopt export --format "+string(format))
		}
		o, err := metaopt.FromFile(f)
		if err != nil {
			return nil, withRemedy(err, "keep tensors and configuration as metaopt export writes them")
		}
		return o, nil
	}
	o, err := metaopt.ImportL2L(r)
	if err != nil {
		return nil, fmt.Errorf("%w; it is not an npz, safetensors or msgpack file, and no weights as the learning-to-learn code writes them", err)
	}
	if o.Provenance.Name == "" {
		o.Provenance.Name = name
	}
	return o, nil
}

// withRemedy adds a remedy to an error, unless the error already has one. A semicolon introduces a remedy.
func withRemedy(err error, remedy string) error {
	if strings.Contains(err.Error(), ";") {
		return err
	}
	return fmt.Errorf("%w; %s", err, remedy)
}
