package distributed

import (
	"encoding/json"
	"fmt"
)

// A Presence is what a worker says of itself, several times a second.
type Presence struct {
	Protocol int    `json:"protocol"`
	Name     string `json:"name"`
	Process  string `json:"process"`
	Build    Build  `json:"build"`
	// Slots is the number of units that it computes at a time.
	Slots int `json:"slots"`
	// Jobs are the jobs that it serves or refuses.
	Jobs map[string]JobPresence `json:"jobs"`
}

// A JobPresence is what a worker says of one job.
type JobPresence struct {
	// Refused says why it does not serve the job, "" if it does.
	Refused string `json:"refused,omitempty"`
	// Units is the number of answers so far, Replayed the number of windows that were computed again for them, Failed of
	// answers that are errors, and Seconds the time of computing.
	Units    int     `json:"units"`
	Replayed int     `json:"replayed"`
	Failed   int     `json:"failed"`
	Seconds  float64 `json:"seconds"`
}

const (
	maxPresence = 1 << 18 // bytes
	maxSlots    = 1 << 12
	maxJobs     = 1 << 10
)

// readPresence reads what a worker says.
func readPresence(data []byte) (p Presence, err error) {
	bad := func(err error) (Presence, error) { return Presence{}, fmt.Errorf("%w: a worker: %w", ErrMessage, err) }
	if len(data) > maxPresence {
		return bad(fmt.Errorf("%d bytes", len(data)))
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return bad(err)
	}
	if !validName(p.Name) || p.Slots < 1 || p.Slots > maxSlots || len(p.Jobs) > maxJobs {
		return bad(fmt.Errorf("the worker %.80q of %d slots", p.Name, p.Slots))
	}
	if len(p.Process) > maxText {
		return bad(fmt.Errorf("a text of %d bytes", len(p.Process)))
	}
	return p, nil
}
