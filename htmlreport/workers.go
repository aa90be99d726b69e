package htmlreport

import "learnedopt/distributed/fleet"

// Workers are the workers of a training that is under way on many machines.
type Workers struct {
	Units       int     `json:"units"`
	Rate        float64 `json:"units_per_second"`
	Waiting     int     `json:"waiting"`
	Redelivered int     `json:"redelivered"`
	// Slowest is the index of the worker whose units take longest, -1 if that is not known.
	Slowest int            `json:"slowest"`
	List    []fleet.Worker `json:"list"`
}

// workersOf returns what a page shows of a status, which may be nil.
func workersOf(s *fleet.Status) *Workers {
	if s == nil {
		return nil
	}
	w := &Workers{Units: s.Units, Rate: s.Rate, Waiting: s.Waiting, Redelivered: s.Redelivered, Slowest: s.Slowest(), List: []fleet.Worker{}}
	for _, x := range s.Workers {
		x.Name, x.Process = clean(x.Name, maxName), clean(x.Process, maxName)
		w.List = append(w.List, x)
	}
	return w
}
