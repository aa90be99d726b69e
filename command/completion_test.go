package command

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shell runs a script with metaopt in the PATH. It skips the test if the shell is not installed.
func shell(t *testing.T, name, script string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip("no ", name, ": its completion is not tried")
	}
	program := binary(t)
	dir := t.TempDir()
	if err := os.Symlink(program, filepath.Join(dir, "metaopt")); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(path, "-c", script)
	cmd.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+dir)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// The completion scripts are run as the shells run them when the user presses Tab. bash's completion package may be missing,
// so the functions that it provides are written out here.
func TestShellsComplete(t *testing.T) {
	want := []string{"backprop", "es", "pes"}
	t.Run("bash", func(t *testing.T) {
		out := shell(t, "bash", `
			source <(metaopt completion bash)
			_get_comp_words_by_ref() { words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur=${words[cword]}; prev=${words[cword-1]}; }
			_init_completion() { _get_comp_words_by_ref; }
			compopt() { :; }
			complete -p metaopt | grep -q __start_metaopt || echo 'metaopt is not completed'
			COMP_WORDS=(metaopt meta-train --estimator '') COMP_CWORD=3 COMP_TYPE=9
			__start_metaopt
			printf '%s\n' "${COMPREPLY[@]}"`)
		if got := strings.Fields(out); !slices.Equal(got, want) {
			t.Errorf("bash offers %q", out)
		}
	})
	t.Run("fish", func(t *testing.T) {
		out := shell(t, "fish", `metaopt completion fish | source; complete -C 'metaopt meta-train --estimator '`)
		if got := strings.Fields(out); !slices.Equal(got, want) {
			t.Errorf("fish offers %q", out)
		}
	})
	t.Run("zsh", func(t *testing.T) {
		out := shell(t, "zsh", `
			autoload -Uz compinit && compinit -u
			source <(metaopt completion zsh)
			[[ ${_comps[metaopt]} == _metaopt ]] || echo 'metaopt is not completed'
			_describe() { print -l -- ${(P)${@[-1]}} ${completions[@]}; }
			compdef() { :; }
			words=(metaopt meta-train --estimator '') CURRENT=4
			_metaopt`)
		for _, word := range want {
			if !slices.Contains(strings.Fields(out), word) {
				t.Errorf("zsh does not offer %s: %q", word, out)
			}
		}
	})
}
