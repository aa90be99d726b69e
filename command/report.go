package command

import (
	"bytes"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"learnedopt/htmlreport"
	"learnedopt/internal/durable"
	"learnedopt/metaopt"
)

// reportFlags are the flags of metaopt report.
type reportFlags struct {
	out   string
	title string
	quiet bool
}

func newReport(a *app) *cobra.Command {
	f := reportFlags{out: "report.html"}
	cmd := &cobra.Command{
		Use:   "report RUN_OR_SWEEP ...",
		Short: "Write a page of HTML about run folders and sweep folders",
		Long: `Write one file of HTML about run folders and sweep folders: what was won and lost, learning
curves, heat maps, tables that sort, where the numbers come from and what went wrong. The file
needs no network and nothing beside it: mail it, or open it on a phone.`,
		Example: `  metaopt report runs/quadratic-uniform-seed0
  metaopt report runs/a runs/b sweeps/mnist -o report.html --title "MNIST, two seeds"`,
		ValidArgsFunction: completeFolders,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.quiet = f.quiet
			if len(args) == 0 {
				return usagef("%s needs a run folder or a sweep folder, as meta-train --out and sweep --out make them; see %[1]s --help", cmd.CommandPath())
			}
			return f.run(a, args)
		},
	}
	fs := cmd.Flags()
	fs.VarP(textFlag{&f.out, "FILE"}, "out", "o", "file to write, - for standard output; one of that name is replaced")
	fs.Var(textFlag{&f.title, "TEXT"}, "title", "heading of the page")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "no remarks")
	if err := cmd.MarkFlagFilename("out", "html"); err != nil {
		panic("metaopt: " + err.Error())
	}
	return cmd
}

// completeFolders offers folders as arguments.
func completeFolders(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

func (f *reportFlags) run(a *app, folders []string) error {
	if err := checkTarget("out", f.out); err != nil {
		return err
	}
	page := htmlreport.Page{Title: f.title, Version: metaopt.Version()}
	seen := map[string]bool{}
	wrong := 0
	for _, folder := range folders {
		clean := filepath.Clean(folder)
		if seen[clean] {
			return usagef("%s is named twice; name it once", folder)
		}
		seen[clean] = true
		source, err := htmlreport.Read(folder)
		if err != nil {
			return err
		}
		wrong += len(source.Problems) + source.More
		page.Sources = append(page.Sources, source)
	}
	var b bytes.Buffer
	if err := htmlreport.Write(&b, page); err != nil {
		return err
	}
	if f.out == "-" {
		_, err := a.stdout.Write(b.Bytes())
		return err
	}
	if err := durable.Replace(f.out, b.Bytes()); err != nil {
		return fmt.Errorf("%w; choose another file with --out", err)
	}
	fmt.Fprintf(a.stdout, "Written to %s: %d kB\n", f.out, (b.Len()+999)/1000)
	if wrong > 0 {
		a.note("%d entries under what went wrong", wrong)
	}
	return nil
}
