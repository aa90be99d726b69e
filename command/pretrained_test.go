package command

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"learnedopt/compare"
	"learnedopt/metaopt"
)

const shipped = pretrainedPrefix + "quadratic-uniform"

// Wherever a file can be named, a pretrained optimizer gives the same result as a file with the same bytes.
func TestPretrainedInPlaceOfAFile(t *testing.T) {
	file := "../metaopt/pretrained/quadratic-uniform.mopt"
	var rules [2]compare.Comparison
	for i, path := range []string{shipped, file} {
		a := succeed(t, "compare", path, "--rules", "none", "--batch", "4", "--steps", "5", "--runs", "2", "--json", "-")
		if err := json.Unmarshal([]byte(a.stdout), &rules[i]); err != nil {
			t.Fatal(err)
		}
	}
	if ours, files := rules[0].Rules[0], rules[1].Rules[0]; ours.Name != "quadratic-uniform" || !slices.Equal(ours.Curve, files.Curve) {
		t.Errorf("%s is %s, with the losses %v; the file's are %v", shipped, ours.Name, ours.Curve, files.Curve)
	}
	succeed(t, "check-gradient", "--init", shipped, "--batch", "2", "--steps", "4", "--episodes", "1")
	dir := t.TempDir()
	args := append([]string{"meta-train", "--init", shipped, "--meta-steps", "1", "--out", dir}, small...)
	args = slices.Delete(args, slices.Index(args, "--hidden"), slices.Index(args, "--hidden")+2)
	succeed(t, args...)
	if a := succeed(t, "inspect", dir+"/"+optimizerFile); !strings.Contains(a.stdout, "--init "+shipped+" ") {
		t.Errorf("the command does not begin from %s:\n%s", shipped, a.stdout)
	}
	fail(t, exitUsage, []string{"compare", shipped, shipped}, "twice", shipped)
	for line, hint := range map[string]string{
		"compare pretrained:quadratc": `, did you mean "quadratic"?`, "inspect pretrained:": `""`, "meta-train --init pretrained:x": `"x". There`,
		"check-gradient --init pretrained:genral": `, did you mean "general"?`, "compare pretrained:adam": `"adam". There`,
	} {
		fail(t, exitUsage, strings.Fields(line), append(metaopt.PretrainedNames(), hint)...)
	}
	// A name without its prefix, a rule in place of a file, a run folder in place of its file.
	fail(t, exitFailure, []string{"compare", "mlp"}, "there is no file mlp", "is pretrained:mlp")
	fail(t, exitFailure, []string{"compare", shipped, "--guard", "adam:0.01"}, "there is no file adam:0.01", "--rules=adam", "--guard=adam:0.01")
	if a := succeed(t, "inspect", dir); !strings.Contains(a.stdout, "--init "+shipped+" ") {
		t.Errorf("a run folder is not its optimizer:\n%s", a.stdout)
	}
}

func TestInspectPrintsTheCard(t *testing.T) {
	want, err := metaopt.ModelCard("quadratic-uniform")
	if err != nil {
		t.Fatal(err)
	}
	if a := succeed(t, "inspect", shipped, "--card"); a.stdout != want {
		t.Errorf("--card prints\n%s", a.stdout)
	}
	if a := succeed(t, "inspect", shipped); !strings.Contains(a.stdout, "metaopt inspect "+shipped+" --card\n") || !strings.Contains(a.stdout, "lstm1/w") {
		t.Errorf("inspect names no card:\n%s", a.stdout)
	}
	if in := readJSON(t, succeed(t, "inspect", shipped, "--json").stdout); in["card"] != want || in["file"] != shipped {
		t.Errorf("--json has the card %v", in["card"])
	}
	path := trained(t)
	if a := succeed(t, "inspect", path); strings.Contains(a.stdout, "card") {
		t.Errorf("a file has a card:\n%s", a.stdout)
	}
	fail(t, exitUsage, []string{"inspect", path, "--card"}, path, "pretrained:NAME")
}

func TestPretrainedIsCompleted(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"pre.mopt", "other.mopt", "pretext.txt"} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("presets", 0o755); err != nil {
		t.Fatal(err)
	}
	for begun, want := range map[string]string{
		"":                      shipped + " other.mopt pre.mopt presets/",
		"pre":                   shipped + " pre.mopt presets/",
		"pret":                  shipped,
		"pretrained:quadratic-": shipped,
		"pretrained:x":          "",
		"o":                     "mopt", // the shell lists these files
	} {
		for _, line := range [][]string{{"compare"}, {"inspect"}, {"meta-train", "--init"}, {"check-gradient", "--init"}} {
			a := succeed(t, append(append([]string{"__complete"}, line...), begun)...)
			list, _, _ := strings.Cut("\n"+a.stdout, "\n:")
			offers := strings.Fields(strings.ReplaceAll(list, `\`, "/"))
			offers = slices.DeleteFunc(offers, func(s string) bool { return strings.HasPrefix(s, pretrainedPrefix) && s != shipped })
			if got := strings.Join(offers, " "); got != want {
				t.Errorf("%v %q is completed by %q, want %q", line, begun, got, want)
			}
		}
	}
}
