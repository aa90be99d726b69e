package command

import (
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"learnedopt/baselines"
	"learnedopt/compare"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/report/comparison"
)

// defaultFallback is the fallback if --guard has no value.
const defaultFallback = "adam:0.003"

// guardFlags are the flags for guarded variants of the learned rules.
type guardFlags struct {
	fallback string
	guard    metaopt.Guard
	radius   float64 // of the KL guard, 0 for none
}

func (g *guardFlags) add(cmd *cobra.Command) {
	defaults := metaopt.Guard{}.WithDefaults()
	g.guard.Window, g.guard.Rise = defaults.Window, defaults.Rise
	fs := cmd.Flags()
	fs.Var(textFlag{&g.fallback, "RULE"}, "guard",
		"add each learned rule under a guard that hands over to a hand-designed one, as --guard=adam:0.01, if it keeps failing ("+defaultFallback+" unless named)")
	fs.Lookup("guard").NoOptDefVal = defaultFallback
	fs.Var(countFlag{&g.guard.Window, 1}, "guard-window", "steps that the guard's loss is averaged over")
	fs.Var(countFlag{&g.guard.Rise.Patience, 1}, "guard-patience", "steps in a row with too high a loss, then it hands over")
	fs.Var(factorFlag{&g.guard.Rise.Tolerance, false}, "guard-tolerance", "how far the loss may lie above its best, as a part of the first loss")
	fs.Var(countFlag{&g.guard.Stall, 1}, "guard-stall", "hand over also after so many steps without a new best (never unless set)")
	fs.Var(factorFlag{&g.radius, false}, "kl-guard", klGuardHelp)
	complete(cmd, "guard", baselines.Names()...)
}

// parse reads the fallback. set says which flags the user set.
func (g *guardFlags) parse(set func(string) bool) error {
	if g.fallback == "" {
		for _, flag := range []string{"guard-window", "guard-patience", "guard-tolerance", "guard-stall"} {
			if set(flag) {
				return usagef("--%s sets a guard that there is none of; add --guard", flag)
			}
		}
		return nil
	}
	name, rate, rated := strings.Cut(g.fallback, ":")
	learningRate := baselines.DefaultLearningRate(name)
	if rated {
		var err error
		if learningRate, err = strconv.ParseFloat(rate, 64); err != nil || !(learningRate > 0) {
			return usagef("--guard %q: %q is no learning rate; name a rule and a positive number, as %s", g.fallback, rate, defaultFallback)
		}
	}
	var err error
	if g.guard.Fallback, err = baselines.New(name, learningRate); err != nil {
		return usagef("--guard: %w", err)
	}
	return nil
}

// klGuardHelp is the help of --kl-guard, here and in a sweep.
const klGuardHelp = "add each learned rule with every step bounded, so that predictions change by at most this divergence in nats, as 0.01"

// variants returns the guarded variants of learned rules, or none if the flags set no guard.
func (g *guardFlags) variants(learned []compare.Contender) []compare.Contender {
	var guarded []compare.Contender
	add := func(suffix string, guard func(optimizer.Rule) optimizer.Rule) {
		taken := func(name string) bool {
			return slices.ContainsFunc(slices.Concat(learned, guarded), func(c compare.Contender) bool { return c.Name == name })
		}
		for _, c := range learned {
			for c.Name += suffix; taken(c.Name); {
				c.Name += suffix
			}
			c.Rule = guard(c.Rule)
			guarded = append(guarded, c)
		}
	}
	if g.guard.Fallback != nil {
		add(comparison.GuardSuffix, func(r optimizer.Rule) optimizer.Rule { return metaopt.Guarded{Rule: r, Guard: g.guard} })
	}
	if g.radius != 0 {
		guard := metaopt.KLGuard{Radius: g.radius, Fallback: g.guard.Fallback}
		add(comparison.KLGuardSuffix, func(r optimizer.Rule) optimizer.Rule { return metaopt.Bounded{Rule: r, Guard: guard} })
	}
	return guarded
}
