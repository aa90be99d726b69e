package command

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"learnedopt/adapters/onnx"
	"learnedopt/checkpoints/exchange"
	"learnedopt/internal/durable"
)

func newExport(a *app) *cobra.Command {
	var out, format string
	var formats []string
	for _, f := range exchange.Formats() {
		formats = append(formats, string(f))
	}
	formats = append(formats, onnxFormat)
	cmd := &cobra.Command{
		Use:   "export FILE.mopt --format NAME",
		Short: "Write an optimizer in a format that other programs read",
		Long: `Write an optimizer as NumPy's npz, as safetensors or as the msgpack of flax: its
tensors by name, and its configuration and provenance. metaopt import reads all of
them back, bit for bit. docs/python.md shows both sides. With onnx, one step of
the optimizer becomes a model for ONNX runtimes (docs/c.md).

pretrained:NAME in place of a file is an optimizer that ships with the program.`,
		Example: `  metaopt export optimizer.mopt --format npz
  metaopt export pretrained:mlp --format safetensors --out mlp.safetensors`,
		Args:              exactArgs("a FILE.mopt"),
		ValidArgsFunction: completeOptimizers,
		RunE: func(_ *cobra.Command, args []string) error {
			if format == "" {
				return usagef("--format is needed: %s", oneOf(formats))
			}
			if out == "" {
				out = exported(args[0], exchange.Format(format))
			}
			if err := checkTarget("out", out); err != nil {
				return err
			}
			if err := absent("out", out); err != nil {
				return err
			}
			o, err := load(args[0])
			if err != nil {
				return err
			}
			f, err := o.File()
			if err != nil {
				return err
			}
			var data []byte
			if format == onnxFormat {
				data, err = onnx.Marshal(o)
			} else {
				data, err = exchange.Marshal(f, exchange.Format(format))
			}
			if err != nil {
				return err
			}
			if err := durable.Replace(out, data); err != nil {
				return err
			}
			if format == onnxFormat {
				fmt.Fprintf(a.stdout, "Written to %s: one step, gradient, state and step to update and next_state\n", out)
				return nil
			}
			fmt.Fprintf(a.stdout, "Written to %s: %d tensors, configuration and provenance\n", out, len(f.Tensors))
			return nil
		},
	}
	cmd.Flags().Var(choiceFlag{&format, formats}, "format", strings.Join(formats, ", ")+": the format to write")
	cmd.Flags().Var(textFlag{&out, "FILE"}, "out", "the file to write (beside FILE.mopt unless set)")
	complete(cmd, "format", formats...)
	return cmd
}

// onnxFormat is the format of a model, which metaopt import does not read.
const onnxFormat = "onnx"

// exported returns the default path of an exported optimizer: beside its file, or in the working folder if it ships with the
// program.
func exported(path string, format exchange.Format) string {
	if name, ok := strings.CutPrefix(path, pretrainedPrefix); ok {
		return name + format.Extension()
	}
	return strings.TrimSuffix(path, filepath.Ext(path)) + format.Extension()
}
