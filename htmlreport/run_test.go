package htmlreport

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"learnedopt/compare"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
)

func readRun(t *testing.T, log string) *Source {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	write(t, filepath.Join(dir, logFile), log)
	s, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func texts(s *Source) string {
	var b strings.Builder
	for _, f := range s.Summary {
		fmt.Fprintf(&b, "[%s] %s\n", f.Verdict, f.Text)
	}
	for _, p := range s.Problems {
		fmt.Fprintf(&b, "%s: %s\n", p.Where, p.What)
	}
	return b.String()
}

func wantTexts(t *testing.T, s *Source, words ...string) {
	t.Helper()
	all := texts(s)
	for _, w := range words {
		if !strings.Contains(all, w) {
			t.Errorf("%q is not in\n%s", w, all)
		}
	}
}

func TestARunIsRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "quadratic")
	writeRun(t, dir, "learned")
	s, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if s.Kind != "run" || s.Name != "quadratic" || len(s.Run.Episodes) != 40 || len(s.Run.Validations) != 4 || len(s.Run.Trainings) != 1 {
		t.Fatalf("%s %s: %d episodes, %d validations, %d trainings", s.Kind, s.Name, len(s.Run.Episodes), len(s.Run.Validations), len(s.Run.Trainings))
	}
	want := 0.15 + 7*math.Exp(-3./12)
	if e := s.Run.Episodes[3]; e.MetaStep != 20 || math.Abs(float64(e.MeanLoss)-want*(1+0.3*math.Sin(3*12.9))) > 1e-12 || e.Clipped != 3 {
		t.Errorf("episode 3 is %+v", e)
	}
	v := s.Run.Validations[0]
	if v.MetaStep != 0 || !v.Best || float64(v.Loss) != 7.15 || v.Diagnostics["training.gates.1.i"] != 0.2 || digits(v.Diagnostics["validation.update_to_gradient"]) != "0.0140" {
		t.Errorf("validation 0 is %+v", v)
	}
	training := s.Run.Trainings[0]
	settings := fmt.Sprint(training.Settings)
	for _, word := range []string{"{network.inputs logsign}", "{network.hidden 20}", "{horizons 50, 100}", "{clip none}"} {
		if !strings.Contains(settings, word) {
			t.Errorf("no setting %s in %s", word, settings)
		}
	}
	if len(s.Files) != 2 || s.Files[0].Name != logFile || len(s.Files[0].SHA256) != 64 {
		t.Errorf("files %v", s.Files)
	}
	c := s.Run.Comparison
	if c.Rules[0].Name != "learned" || c.Rules[4].Name != "rmsprop" || len(c.Rules[0].Curve.Steps) != 101 || digits(c.Rules[0].Curve.Hi[0]) != "3.5530" {
		t.Errorf("comparison %+v", c)
	}
	wantTexts(t, s, "[won] learned against nesterov, 100 steps on the same 20 instances: 0.5287 × its mean loss",
		"Seed 0: 200 meta-steps, ended by time; best validation loss 0.1512 at meta-step 150, 7.1500 before the first; non-finite windows: 1.",
		"meta-step 190, seed 0: gradient not finite at inner step 17, coordinate 3; the window was skipped",
		"rmsprop: diverged in 1 of 20 runs of the comparison", "sgd: does best at learning rate 10, the end of the grid")
}

// The page says what the training did after a non-finite window, according to the policy in the log.
func TestNonFinitePoliciesAreTold(t *testing.T) {
	log := startLine(0)
	for i, policy := range append(metatrain.NonFinitePolicies(), "hope<") {
		log += line(t, metatrain.Event{
			Kind: metatrain.EventDiverged, MetaStep: i, Policy: policy,
			Diverged: &optimizer.DivergedError{Step: 3, What: "loss", Coordinate: -1, Value: math.Inf(1)},
		})
	}
	s := readRun(t, log+`{"event":"diverged","meta_step":9}`+"\n")
	wantTexts(t, s, "meta-step 0, seed 0: loss not finite at inner step 3; the window was skipped\n",
		"meta-step 1, seed 0: loss not finite at inner step 3; the training stopped\n",
		"meta-step 2, seed 0: loss not finite at inner step 3; the training went back to the last validation without a divergence\n",
		"meta-step 3, seed 0: loss not finite at inner step 3; policy hope<\n",
		"meta-step 9, seed 0: a value was not finite; the window was skipped\n", "; non-finite windows: 5.")
	if n := len(s.Problems); n != 5 {
		t.Errorf("%d problems, want 5", n)
	}
}

// The last line of a log also counts the windows from before a resume, which the log itself may not have.
func TestTheEndCountsNonFiniteWindows(t *testing.T) {
	s := readRun(t, startLine(0)+events(t, 0, 10)+divergedLine(t, 7)+strings.Replace(endLine, `"skipped":1`, `"skipped":17`, 1))
	wantTexts(t, s, "; non-finite windows: 17.")
}

// If a rule diverged on an instance, the summary says on how many and gives no losses. This also holds for older files, in which
// a difference of −Inf is null and the verdict was read from its interval.
func TestDivergencesInASummary(t *testing.T) {
	inf := compare.Number(math.Inf(1))
	told := func(c *compare.Comparison) *Source {
		dir := filepath.Join(t.TempDir(), "run")
		write(t, filepath.Join(dir, resultFile), line(t, map[string]any{"comparison": c}))
		s, err := Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	c := exampleComparison("learned")
	for i := range c.Rules[1:] {
		c.Rules[1+i].MeanLosses[2], c.Rules[1+i].MeanLoss = inf, inf
		c.Rules[1+i].Diverged++
	}
	c.Pair()
	const want = "[won] learned against nesterov, 100 steps on the same 20 instances: it diverged in 0 of them, nesterov in 1.\n"
	wantTexts(t, told(c), want)
	p := &c.Paired[0]
	p.RatioCI95, p.Difference, p.DifferenceCI95 = [2]compare.Number{0.5, inf}, inf, [2]compare.Number{inf, -1}
	wantTexts(t, told(c), want)
	c.Rules[0].MeanLosses[7], c.Rules[0].MeanLoss, c.Rules[0].Diverged = inf, inf, 1
	c.Pair()
	wantTexts(t, told(c), "[open] learned against nesterov, 100 steps on the same 20 instances: both diverged in 1 of them.\n")
	c.Paired = nil
	wantTexts(t, told(c), "[] Every rule diverged on some instance.\n")
}

func TestARunWithoutAnEnd(t *testing.T) {
	s := readRun(t, startLine(3)+events(t, 0, 12)+`{"event":"episode","meta_st`)
	wantTexts(t, s, "[] Seed 3: stopped without an end in the log, so it was killed or its machine went down; metaopt meta-train --resume goes on with it; at meta-step 60; best validation loss")
	if len(s.Problems) != 0 {
		t.Errorf("a line that is being written is a problem: %v", s.Problems)
	}
}

func TestSeveralSeeds(t *testing.T) {
	end := strings.Replace(endLine, `"reason":"time"`, `"reason":"diverged","error":"20 windows in a row"`, 1)
	s := readRun(t, startLine(1)+events(t, 0, 10)+endLine+startLine(2)+events(t, 0, 5)+end+`{"event":"select","runs":20,"seeds":[]}`+"\n")
	if n := len(s.Run.Trainings); n != 2 || s.Run.Episodes[9].Training != 0 || s.Run.Episodes[10].Training != 1 || s.Run.Trainings[1].Seed != "2" {
		t.Fatalf("%d trainings, %+v", n, s.Run.Trainings)
	}
	wantTexts(t, s, "Seed 1: 200 meta-steps", "Seed 2: 200 meta-steps, ended by diverged", "training of seed 2: ended (diverged): 20 windows in a row")
}

func TestLinesThatCannotBeReadAreCounted(t *testing.T) {
	s := readRun(t, "{\n[1]\nnull garbage\n"+`{"event":"episode","meta_step":"seven"}`+"\n"+startLine(0)+`{"event":"validation"}`+"\n"+
		strings.Repeat("x", maxLine+1)+"\n"+events(t, 0, 3))
	wantTexts(t, s, "log.jsonl: lines that could not be read and were left out: 5", "log.jsonl: lines longer than 1 MiB, left out: 1")
	if len(s.Run.Episodes) != 3 {
		t.Errorf("%d episodes, want 3", len(s.Run.Episodes))
	}
}

func TestNonFiniteEventsOfDiagnostics(t *testing.T) {
	v := strings.Replace(validationLine(t, 50, 1), `"non_finite":{"count":0,"of":50}`,
		`"non_finite":{"count":2,"of":50,"first":[{"meta_step":41,"instance":2,"step":7,"what":"update","coordinate":5},{"meta_step":42,"instance":2,"step":8,"what":"loss","coordinate":-1}]}`, 1)
	s := readRun(t, startLine(0)+v)
	wantTexts(t, s, "non-finite, seen at meta-step 50: training: meta-step 41 instance 2 step 7 what update coordinate 5\n", "training: meta-step 42 instance 2 step 8 what loss")
	if s.Run.Validations[0].Diagnostics["training.non_finite.count"] != 2 {
		t.Error("the count is lost")
	}
}

// When a long log is thinned, the best validations stay, wherever they are in the log. Every other one of the rest is dropped, and the
// order is kept. If there are too many best ones, some of them are dropped too: a page holds at most maxValidations.
func TestBestValidationsStay(t *testing.T) {
	best := map[int]bool{1: true, 777: true, 2001: true, maxValidations - 1: true}
	add := func(l *runLog, n int, isBest func(i int) bool) {
		for i := range n {
			l.add(fmt.Appendf(nil, `{"event":"validation","meta_step":%d,"valid":{"mean_loss":1,"final_loss":1},"best":%v}`, i, isBest(i)))
		}
	}
	l := newRunLog()
	add(l, maxValidations+1, func(i int) bool { return best[i] })
	if got, want := len(l.run.Validations), maxValidations/2+len(best)+1; got != want || l.halved != 1 {
		t.Errorf("%d validations after %d halvings, want %d after one", got, l.halved, want)
	}
	found, last := 0, -1
	for _, v := range l.run.Validations {
		if v.MetaStep <= last || v.MetaStep%2 == 1 && !best[v.MetaStep] {
			t.Fatalf("validation %d after %d, best %v", v.MetaStep, last, v.Best)
		}
		last = v.MetaStep
		if v.Best {
			found++
		}
	}
	if found != len(best) {
		t.Errorf("%d of %d best validations stay", found, len(best))
	}
	l = newRunLog()
	add(l, 5*maxValidations, func(int) bool { return true })
	if got := len(l.run.Validations); got > maxValidations || got < maxValidations/4 {
		t.Errorf("%d validations of which each was the best", got)
	}
}

// A log of any length gives a page of bounded size with the same mean.
func TestLongLogsAreThinned(t *testing.T) {
	l := newRunLog()
	l.add([]byte(startLine(0)))
	const n = 20000
	for k := range n {
		l.add(fmt.Appendf(nil, `{"event":"episode","meta_step":%d,"mean_loss":%d,"clipped":1}`, k+1, k))
		l.add(fmt.Appendf(nil, `{"event":"validation","meta_step":%d,"valid":{"mean_loss":1,"final_loss":1},"best":%v}`, k+1, k == 0))
		l.add([]byte(divergedLine(t, k)))
	}
	l.flush()
	if got := len(l.run.Episodes); got > maxEpisodes || got < maxEpisodes/4 {
		t.Errorf("%d points", got)
	}
	if got := len(l.run.Validations); got > maxValidations || !l.run.Validations[0].Best {
		t.Errorf("%d validations, the first best %v", got, l.run.Validations[0].Best)
	}
	sum, clipped, weight := 0.0, 0, 0.0
	for i, e := range l.run.Episodes {
		w := float64(e.MetaStep)
		if i > 0 {
			w -= float64(l.run.Episodes[i-1].MetaStep)
		}
		sum, weight, clipped = sum+w*float64(e.MeanLoss), weight+w, clipped+e.Clipped
	}
	if clipped != n || weight != n || math.Abs(sum/weight-(n-1)/2.) > 1e-6 {
		t.Errorf("mean %v of %v episodes, %d clipped; want %v of %d", sum/weight, weight, clipped, (n-1)/2., n)
	}
	if len(l.problems.list) != maxProblems || l.problems.more != n-maxProblems {
		t.Errorf("%d problems and %d more", len(l.problems.list), l.problems.more)
	}
	if _, null := any(l.run.Episodes[0].GNorm), l.run.Episodes[0].GNorm.finite(); null {
		t.Error("a norm that no line has is a number")
	}
}

// Points of a curve are merged in pairs within a training. A point without a partner stays, and no episode is lost.
func TestPointsAreMergedWithinATraining(t *testing.T) {
	l := newRunLog()
	for i, training := range []int{0, 0, 0, 1, 1, 2} {
		l.run.Episodes = append(l.run.Episodes, Episode{Training: training, MetaStep: i + 1, MeanLoss: Num(i), FinalLoss: nan, GNorm: Num(10 * i), Clipped: 1})
	}
	l.run.Episodes[4].MeanLoss = nan // a mean is over the finite values
	l.merge()
	text := ""
	for _, e := range l.run.Episodes {
		text += fmt.Sprintf("%d:%d %v %v %v %d; ", e.Training, e.MetaStep, float64(e.MeanLoss), float64(e.FinalLoss), float64(e.GNorm), e.Clipped)
	}
	if want := "0:2 0.5 NaN 5 2; 0:3 2 NaN 20 1; 1:5 3 NaN 35 2; 2:6 5 NaN 50 1; "; text != want || l.stride != 2 || l.halved != 1 {
		t.Errorf("%s, want %s", text, want)
	}
}

func TestFoldersThatHoldNothing(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, file, "")
	for path, word := range map[string]string{dir: "neither a run", file: "is not a folder", filepath.Join(dir, "none"): "no such file"} {
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v, want %q", path, err, word)
		}
	}
	write(t, filepath.Join(dir, "broken", resultFile), "{")
	s, err := Read(filepath.Join(dir, "broken"))
	if err != nil {
		t.Fatal(err)
	}
	wantTexts(t, s, "result.json: could not be read: unexpected end of JSON input")
}

// A document is read up to 64 MiB, and not beyond.
func TestDocumentsAreBounded(t *testing.T) {
	for size, want := range map[int64]string{maxDocument: "could not be read: invalid character", maxDocument + 1: "could not be read: result.json is longer than 64 MiB"} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, resultFile), "")
		if err := os.Truncate(filepath.Join(dir, resultFile), size); err != nil {
			t.Fatal(err)
		}
		s, err := Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		wantTexts(t, s, "result.json: "+want)
	}
}

func TestThin(t *testing.T) {
	curve := make([]compare.Number, 10001)
	for i := range curve {
		curve[i] = compare.Number(i)
	}
	c := thin(nil, curve, [2][]compare.Number{curve, curve}, 100)
	if n := len(c.Steps); n < 80 || n > 100 || c.Steps[0] != 0 || c.Steps[1] != 1 || c.Steps[n-1] != 10000 {
		t.Errorf("%d steps: %v", len(c.Steps), c.Steps)
	}
	for i, s := range c.Steps {
		if int(c.Mean[i]) != s || int(c.Lo[i]) != s {
			t.Fatalf("step %d has %v", s, c.Mean[i])
		}
	}
	if thin([]int{1}, curve, [2][]compare.Number{}, 100) != nil {
		t.Error("a curve with other steps than values")
	}
}
