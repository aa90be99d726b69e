package command

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageWidth is the number of columns at which help wraps lines.
const usageWidth = 100

func init() {
	// Cobra's template functions are global to the process.
	cobra.AddTemplateFunc("flagUsages", func(fs *pflag.FlagSet) string {
		shown := pflag.NewFlagSet("", pflag.ContinueOnError)
		shown.SortFlags = false
		fs.VisitAll(func(f *pflag.Flag) {
			g := *f
			if g.Value.Type() == "bool" {
				g.Value = toggle{g.Value}
			}
			shown.AddFlag(&g)
		})
		return shown.FlagUsagesWrapped(usageWidth)
	})
}

// toggle is a bool flag that help shows as --quiet, not --quiet[=true|false].
type toggle struct{ pflag.Value }

// Type implements pflag.Value.
func (toggle) Type() string { return "boolfunc" }

// IsBoolFlag makes pflag leave out the type.
func (toggle) IsBoolFlag() bool { return true }

// setUsage makes help list flags with flagUsages: wrapped, in the order in which they were added.
func setUsage(root *cobra.Command) {
	template := root.UsageTemplate()
	for _, set := range []string{"LocalFlags", "InheritedFlags"} {
		template = strings.ReplaceAll(template, "."+set+".FlagUsages", "(flagUsages ."+set+")")
	}
	root.SetUsageTemplate(template)
	for _, cmd := range root.Commands() {
		cmd.Flags().SortFlags = false
	}
}
