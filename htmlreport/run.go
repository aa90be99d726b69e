package htmlreport

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"learnedopt/compare"
	"learnedopt/metatrain"
)

// A Run is a meta-training, as its log and its result describe it.
type Run struct {
	Trainings   []Training   `json:"trainings"` // one for each seed
	Episodes    []Episode    `json:"episodes"`
	Validations []Validation `json:"validations"`
	// Comparison is nil until the run has a result.
	Comparison *Comparison `json:"comparison,omitempty"`
	Command    string      `json:"command,omitempty"`
	// Workers is nil unless the run is under way and its training is computed by workers.
	Workers *Workers `json:"workers,omitempty"`
}

// A Training is the training from one seed.
type Training struct {
	Seed     string    `json:"seed"`
	Task     string    `json:"task"`
	Version  string    `json:"version"`
	Settings []Setting `json:"settings"`
	// Reason says why the training ended; it is empty while the training runs.
	Reason string `json:"reason,omitempty"`
	Error  string `json:"error,omitempty"`
	// NonFinite is the number of windows with a non-finite value.
	NonFinite int `json:"non_finite"`
	MetaStep  int `json:"meta_steps"`
	Best      int `json:"best_meta_step"`
	Valid     Num `json:"valid_loss"`
	Start     Num `json:"start_valid_loss"`
}

// An Episode is a point of the training curves: one episode, or the mean of several consecutive ones if a log has very many.
type Episode struct {
	Training, MetaStep         int
	MeanLoss, FinalLoss, GNorm Num
	Clipped                    int
}

// MarshalJSON implements json.Marshaler. It writes the fields as a list, to save space.
func (e Episode) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{e.Training, e.MetaStep, e.MeanLoss, e.FinalLoss, e.GNorm, e.Clipped})
}

// A Validation is one validation with its diagnostics: numbers by their paths, such as "training.gates.0.f".
type Validation struct {
	Training    int            `json:"training"`
	MetaStep    int            `json:"meta_step"`
	Loss        Num            `json:"loss"`
	FinalLoss   Num            `json:"final_loss"`
	Best        bool           `json:"best,omitempty"`
	Diagnostics map[string]Num `json:"diagnostics,omitempty"`
}

// Bounds on what a page shows of a log.
const (
	maxEpisodes    = 3000 // must be even
	maxTrainings   = 64
	maxValidations = 3000
	maxDiagnostics = 100
)

// A runLog reads the lines of a log.jsonl.
type runLog struct {
	run      Run
	problems problems
	// stride is the number of episodes in one point; open is the point that is not full yet, with filled episodes.
	stride, filled int
	open           Episode
	losses         [3]average
	// halved counts how often points were merged; after a merge a page must load all points again.
	halved int
	bad    int // number of lines that could not be read
}

func newRunLog() *runLog { return &runLog{stride: 1} }

// logLine has the fields of every kind of line in a log. See startEvent and endEvent of the command, and metatrain.Event.
type logLine struct {
	Event       string          `json:"event"`
	Seed        json.Number     `json:"seed"`
	Task        string          `json:"task"`
	Version     string          `json:"version"`
	MetaStep    int             `json:"meta_step"`
	Mean        *Num            `json:"mean_loss"`
	Final       *Num            `json:"final_loss"`
	Norm        *Num            `json:"grad_norm"`
	Clipped     int             `json:"clipped"`
	Valid       *compare.Score  `json:"valid"`
	Best        bool            `json:"best"`
	Diagnostics json.RawMessage `json:"diagnostics"`
	Diverged    *struct {
		Step       int    `json:"step"`
		What       string `json:"what"`
		Coordinate int    `json:"coordinate"`
	} `json:"diverged"`
	Policy    string `json:"policy"`
	Reason    string `json:"reason"`
	Error     string `json:"error"`
	MetaSteps int    `json:"meta_steps"`
	BestStep  int    `json:"best_meta_step"`
	ValidLoss *Num   `json:"valid_loss"`
	StartLoss *Num   `json:"start_valid_loss"`
	Skipped   int    `json:"skipped"`
}

// add adds a line of the log. It counts lines that cannot be read.
func (l *runLog) add(data []byte) {
	var line logLine
	if err := json.Unmarshal(data, &line); err != nil {
		l.bad++
		return
	}
	switch line.Event {
	case "start":
		l.start(data, line)
		return
	case "select":
		return
	}
	if len(l.run.Trainings) == 0 { // the log lacks its first line
		l.run.Trainings = append(l.run.Trainings, Training{Seed: clean(line.Seed.String(), maxName), Valid: nan, Start: nan})
	}
	switch t := len(l.run.Trainings) - 1; line.Event {
	case "episode":
		l.run.Trainings[t].MetaStep = max(l.run.Trainings[t].MetaStep, line.MetaStep)
		l.episode(Episode{t, line.MetaStep, value(line.Mean), value(line.Final), value(line.Norm), line.Clipped})
	case "validation":
		l.validation(t, line)
	case "diverged":
		l.diverged(t, line)
	case "end":
		l.end(&l.run.Trainings[t], line)
	}
}

var nan = Num(math.NaN())

func value(x *Num) Num {
	if x == nil {
		return nan
	}
	return *x
}

func (l *runLog) start(data []byte, line logLine) {
	if len(l.run.Trainings) >= maxTrainings {
		l.bad++
		return
	}
	l.flush()
	t := Training{
		Seed: clean(line.Seed.String(), maxName), Task: clean(line.Task, maxName), Version: clean(line.Version, maxName), Valid: nan, Start: nan,
	}
	for _, s := range flatten(data) {
		if s.Name != "event" {
			t.Settings = append(t.Settings, s)
		}
	}
	l.run.Trainings = append(l.run.Trainings, t)
}

func (l *runLog) end(t *Training, line logLine) {
	l.flush()
	t.Reason, t.Error = clean(line.Reason, maxName), clean(line.Error, maxText)
	if t.Reason == "" {
		t.Reason = "unknown"
	}
	t.NonFinite, t.MetaStep, t.Best = line.Skipped, line.MetaSteps, line.BestStep
	t.Valid, t.Start = value(line.ValidLoss), value(line.StartLoss)
	if t.Error != "" {
		l.problems.add("training of seed "+t.Seed, "ended ("+t.Reason+"): "+t.Error)
	}
}

func (l *runLog) diverged(t int, line logLine) {
	l.run.Trainings[t].NonFinite++
	what := "a value was not finite"
	if d := line.Diverged; d != nil {
		what = fmt.Sprintf("%s not finite at inner step %d", clean(d.What, maxName), d.Step)
		if d.Coordinate >= 0 {
			what += fmt.Sprintf(", coordinate %d", d.Coordinate)
		}
	}
	what += "; " + afterNonFinite(line.Policy)
	l.problems.add(fmt.Sprintf("meta-step %d, seed %s", line.MetaStep, l.run.Trainings[t].Seed), what)
}

// afterNonFinite says what a training with this policy does after a non-finite window. Logs that are older than the policies
// have no policy.
func afterNonFinite(policy string) string {
	switch policy {
	case metatrain.SkipNonFinite, "":
		return "the window was skipped"
	case metatrain.StopNonFinite:
		return "the training stopped"
	case metatrain.RollbackNonFinite:
		return "the training went back to the last validation without a divergence"
	}
	return "policy " + clean(policy, maxName)
}

func (l *runLog) validation(t int, line logLine) {
	if line.Valid == nil {
		l.bad++
		return
	}
	v := Validation{Training: t, MetaStep: line.MetaStep, Loss: number(line.Valid.Loss()), FinalLoss: number(line.Valid.FinalLoss), Best: line.Best}
	training := &l.run.Trainings[t]
	if !training.Start.finite() && line.MetaStep == 0 {
		training.Start = v.Loss
	}
	if v.Best {
		training.Best, training.Valid = v.MetaStep, v.Loss
	}
	training.MetaStep = max(training.MetaStep, line.MetaStep)
	if d := line.Valid.Diverged; d > 0 {
		l.problems.add(fmt.Sprintf("validation at meta-step %d, seed %s", line.MetaStep, training.Seed), fmt.Sprintf("%d runs diverged", d))
	}
	v.Diagnostics = l.diagnose(line)
	if len(l.run.Validations) >= maxValidations {
		l.halve(&l.run.Validations)
	}
	l.run.Validations = append(l.run.Validations, v)
}

// halve keeps every other validation and also the best ones.
func (l *runLog) halve(all *[]Validation) {
	kept := (*all)[:0:0]
	for i, v := range *all {
		if i%2 == 0 || v.Best && len(kept) < maxValidations*3/4 {
			kept = append(kept, v)
		}
	}
	*all = kept
	l.halved++
}

// diagnose returns the numbers of a validation's diagnostics, and reports the events among them.
func (l *runLog) diagnose(line logLine) map[string]Num {
	if len(line.Diagnostics) == 0 {
		return nil
	}
	numbers := map[string]Num{}
	var events []Setting
	for _, s := range flatten(line.Diagnostics) {
		if strings.Contains(s.Name, ".first.") {
			events = append(events, s)
			continue
		}
		if x, err := strconv.ParseFloat(s.Value, 64); err == nil && len(numbers) < maxDiagnostics {
			numbers[s.Name] = Num(x)
		}
	}
	// The leaves of one event are consecutive.
	text, last := "", ""
	report := func() {
		if text != "" {
			l.problems.add(fmt.Sprintf("non-finite, seen at meta-step %d", line.MetaStep), text)
		}
	}
	for _, e := range events {
		dot := strings.LastIndexByte(e.Name, '.')
		if e.Name[:dot] != last {
			report()
			last, text = e.Name[:dot], strings.SplitN(e.Name, ".", 2)[0]+":"
		}
		text += " " + strings.ReplaceAll(e.Name[dot+1:], "_", "-") + " " + e.Value
	}
	report()
	return numbers
}
