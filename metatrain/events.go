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

// An Event reports something that happened in a meta-training. Its JSON is a line of the training's log.
type Event struct {
	Kind string `json:"event"`
	// MetaStep is the number of meta-steps taken before the event. Seconds is the time since training began.
	MetaStep int     `json:"meta_step"`
	Seconds  float64 `json:"seconds"`
	// Fields of EventEpisode: the index of the episode, the mean loss over its steps, its last loss, the mean norm
	// of its windows' meta-gradients, and the number of windows whose meta-gradient was clipped.
	Episode   int            `json:"episode"`
	MeanLoss  compare.Number `json:"mean_loss,omitzero"`
	FinalLoss compare.Number `json:"final_loss,omitzero"`
	GradNorm  compare.Number `json:"grad_norm,omitzero"`
	Clipped   int            `json:"clipped,omitempty"`
	// Fields of EventValidation: the score, and whether it is the best so far; the score at each horizon, if they
	// differ from the episodes' length; and a diagnosis of this validation and of the training since the previous one.
	Valid       *compare.Score         `json:"valid,omitempty"`
	Horizons    []compare.HorizonScore `json:"horizons,omitempty"`
	Best        bool                   `json:"best,omitempty"`
	Diagnostics *Diagnostics           `json:"diagnostics,omitempty"`
	// Field of EventStage, which reports the end of a stage of the curriculum.
	Stage *StageChange `json:"stage,omitempty"`
	// Fields of EventDiverged: where the divergence was, on which instance, and the value of OnNonFinite. Replay is
	// a command that repeats the divergence. The trainer leaves it empty; the function OnEvent may fill it in.
	Diverged *optimizer.DivergedError `json:"diverged,omitempty"`
	Instance *InstanceStream          `json:"instance,omitempty"`
	Policy   string                   `json:"policy,omitempty"`
	Replay   string                   `json:"replay,omitempty"`
}

// An InstanceStream names the random stream from which an instance is drawn. Equal streams draw equal instances.
type InstanceStream struct {
	Seed    uint64 `json:"seed"`
	Purpose string `json:"purpose"`
	Index   int    `json:"index"`
}

// MarshalJSON implements json.Marshaler. It writes the value of a divergence as a compare.Number. So a non-finite
// value is null or, for −Inf, the text "-Inf".
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

// episodeSum adds up the losses and meta-gradient norms of an episode's windows.
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
		losses = losses[1:] // the previous window already counted this loss
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
