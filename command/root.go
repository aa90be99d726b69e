package command

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"learnedopt/internal/simd"
)

// guide is the output of the program without arguments.
const guide = `metaopt meta-trains optimizers: small recurrent networks that read gradients and
write parameter updates.

Start here:
  metaopt meta-train                 meta-train one on quadratics for about a minute,
                                     and compare it with tuned hand-designed rules
  metaopt compare FILE.mopt          compare a finished one again, or elsewhere
  metaopt inspect FILE.mopt          see what is in its file
  metaopt dashboard runs             watch runs in a browser; metaopt report RUN for a file
FILE.mopt may be pretrained:NAME, one that comes with the program: metaopt compare --help

In a checkout without an installed metaopt: go run ./cmd/metaopt meta-train
All commands: metaopt --help
`

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "metaopt",
		Short:         "Meta-train optimizers and compare them with hand-designed ones",
		SilenceErrors: true,
		SilenceUsage:  true,
		Example: `  metaopt meta-train
  metaopt compare runs/` + defaultTask + `-seed0/optimizer.mopt --steps 200`,
		Args: needsCommand,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			a.started = true
			return asUsage(simd.EnvError())
		},
		Run: func(*cobra.Command, []string) { fmt.Fprint(a.stdout, guide) },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return flagError(cmd, err) })
	root.AddCommand(newMetaTrain(a), newCompare(a), newSweep(a), newWorker(a), newReproduce(a), newReport(a), newDashboard(a), newInspect(a), newVerify(a), newExport(a), newImport(a), newData(a), newCheckGradient(a), newBench(a), newVersion(a))
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.InitDefaultCompletionCmd() // must come after SetOut: it uses the output that is set now
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "completion": // cobra's own command prints help for any name
			cmd.Args = needsCommand
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
			cmd.Example = "  metaopt completion bash > ~/.local/share/bash-completion/completions/metaopt\n  metaopt completion zsh --help"
			for _, shell := range cmd.Commands() {
				shell.Example = completionExamples[shell.Name()]
			}
		case "help":
			cmd.Example = "  metaopt help meta-train\n  metaopt help data fetch"
			cmd.Args = func(_ *cobra.Command, args []string) error { return helpTopic(root, args) }
		}
	}
	setUsage(root)
	return root
}

// completionExamples say how to install the completions in each shell: permanently, and for one session.
var completionExamples = map[string]string{
	"bash": `  metaopt completion bash > ~/.local/share/bash-completion/completions/metaopt
  source <(metaopt completion bash)`,
	"zsh": `  metaopt completion zsh > "${fpath[1]}/_metaopt"
  source <(metaopt completion zsh)`,
	"fish": `  metaopt completion fish > ~/.config/fish/completions/metaopt.fish
  metaopt completion fish | source`,
	"powershell": `  metaopt completion powershell >> $PROFILE
  metaopt completion powershell | Out-String | Invoke-Expression`,
}

// needsCommand refuses arguments that are not commands.
func needsCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return unknownCommand(cmd, args[0])
}

// helpTopic refuses arguments of help that are not commands.
func helpTopic(root *cobra.Command, args []string) error {
	cmd := root
	for _, name := range args {
		next := slices.IndexFunc(cmd.Commands(), func(c *cobra.Command) bool { return c.Name() == name })
		if next < 0 {
			return unknownCommand(cmd, name)
		}
		cmd = cmd.Commands()[next]
	}
	return nil
}

// unknownCommand returns the error for a name that is not a subcommand of cmd. It suggests a similar name.
func unknownCommand(cmd *cobra.Command, name string) error {
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		return usagef("%s has no command %q; did you mean %q?", cmd.CommandPath(), name, near[0])
	}
	return usagef("%s has no command %q; see %[1]s --help", cmd.CommandPath(), name)
}
