package metatrain

import (
	"encoding/json"

	"learnedopt/compare"
	"learnedopt/optimizer"
)

// The kinds of Event.
const (
	EventEpisode    = "episode"
	EventValidation = "validation"
	EventDiverged   = "diverged"
	EventStage      = "stage"
)

// An Event is something that happened in a meta-training; as JSON, a line of its
// log.
type Event struct {
	Kind string `json:"event"`
	// MetaStep is the number of meta-steps taken before, Seconds the time since
	// training began.
	MetaStep int     `json:"meta_step"`
	Seconds  float64 `json:"seconds"`
	// Of an episode: its index, the mean loss over its steps, its last loss, the mean over its
	// windows of the meta-gradient's norm, and how many of them were clipped.
	Episode   int            `json:"episode"`
	MeanLoss  compare.Number `json:"mean_loss,omitzero"`
	FinalLoss compare.Number `json:"final_loss,omitzero"`
	GradNorm  compare.Number `json:"grad_norm,omitzero"`
	Clipped   int            `json:"clipped,omitempty"`
	// Of a validation: its score and whether it is the best so far; the
	// scores at each horizon, if it has others than the episodes'; and what training since the
	// validation before and this validation were like.
	Valid       *compare.Score         `json:"valid,omitempty"`
	Horizons    []compare.HorizonScore `json:"horizons,omitempty"`
	Best        bool                   `json:"best,omitempty"`
	Diagnostics *Diagnostics           `json:"diagnostics,omitempty"`
	// Of a curriculum's stage that ends.
	Stage *StageChange `json:"stage,omitempty"`
	// Of a divergence: where it was, on what instance, what was done about it, and a command
	// that does it again, if whoever listens knows one.
	Diverged *optimizer.DivergedError `json:"diverged,omitempty"`
	Instance *InstanceStream          `json:"instance,omitempty"`
	Policy   string                   `json:"policy,omitempty"`
	Replay   string                   `json:"replay,omitempty"`
}

// An InstanceStream is the random stream that an instance is drawn from: equal triples draw equal ones.
type InstanceStream struct {
	Seed    uint64 `json:"seed"`
	Purpose string `json:"purpose"`
	Index   int    `json:"index"`
}

// MarshalJSON implements json.Marshaler. The value of a divergence is written as a compare.Number: null, or the
// text "-Inf", where it is not finite.
func (e Event) MarshalJSON() ([]byte, error) {
	type fields Event // without this method
	type divergence struct {
		Step       int            `json:"step"`
		What       string         `json:"what"`
		Coordinate int            `json:"coordinate"`
		Value      compare.Number `json:"value"`
	}
	line := struct {
		fields
		Diverged *divergence `json:"diverged,omitempty"`
	}{fields: fields(e)}
	if d := e.Diverged; d != nil {
		line.Diverged = &divergence{d.Step, d.What, d.Coordinate, compare.Number(d.Value)}
	}
	return json.Marshal(line)
}

func (t *Trainer) emit(e Event) {
	if t.cfg.OnEvent == nil {
		return
	}
	e.MetaStep, e.Seconds = t.metaSteps, t.Elapsed().Seconds()
	if e.Kind != EventEpisode && e.Kind != EventDiverged {
		e.Episode = t.episodes - 1
	}
	t.cfg.OnEvent(e)
}

// episodeSum adds up what an episode's windows report.
type episodeSum struct {
	windows, losses, clipped int
	loss, last, norm         float64
}

func (s *episodeSum) add(losses []float64, norm float64, clipped bool) {
	s.windows++
	s.norm += norm
	if clipped {
		s.clipped++
	}
	if s.losses > 0 {
		losses = losses[1:] // the window before ended here
	}
	for _, f := range losses {
		s.loss += f
		s.losses++
		s.last = f
	}
}

func (s *episodeSum) event(episode int) Event {
	return Event{
		Kind: EventEpisode, Episode: episode, Clipped: s.clipped, FinalLoss: compare.Number(s.last),
		MeanLoss: compare.Number(s.loss / float64(s.losses)), GradNorm: compare.Number(s.norm / float64(s.windows)),
	}
}
