package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"learnedopt/metaopt"
)

func newImport(a *app) *cobra.Command {
	var out, name string
	cmd := &cobra.Command{
		Use:   "import FILE.l2l",
		Short: "Convert a published optimizer of the learning-to-learn code",
		Long: `Convert an optimizer that DeepMind's learning-to-learn code or one of its descendants
has written (a pickle of weights) to a .mopt file. No code in the file is executed.`,
		Example: `  metaopt import dm_aug.l2l --out dm_aug.mopt
  metaopt import cw.l2l --name published`,
		Args:              exactArgs("a FILE.l2l"),
		ValidArgsFunction: completeFiles("l2l"),
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
			o, err := metaopt.ImportL2L(f)
			if err != nil {
				return fmt.Errorf("%s: %w; only weights as the learning-to-learn code writes them can be read", args[0], err)
			}
			switch {
			case name != "":
				o.Provenance.Name = name
			case o.Provenance.Name == "":
				o.Provenance.Name = base
			}
			if err := metaopt.Save(out, o); err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "Written to %s. Compare it with tuned rules: metaopt compare %[1]s --task mnist\n", out)
			return nil
		},
	}
	cmd.Flags().Var(text{&out, "FILE"}, "out", "the .mopt file to write (beside FILE unless set)")
	cmd.Flags().Var(text{&name, "NAME"}, "name", "name that the optimizer carries in tables (the file's unless set)")
	return cmd
}
