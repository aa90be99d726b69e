package adjoint

import (
	"learnedopt/compare"

	"gonum.org/v1/gonum/floats"
)

// A Report is the result of Check. Other programs read its JSON.
type Report struct {
	Task  string `json:"task"`
	Steps int    `json:"steps"`
	// Episodes is the number of episodes over which the gradients are averaged. LeftOut is the number of episodes
	// that were left out because of non-finite values.
	Episodes int    `json:"episodes"`
	LeftOut  int    `json:"left_out"`
	Seed     uint64 `json:"seed"`
	// Parameters is the number of meta-parameters, the length of φ.
	Parameters int `json:"parameters"`
	// Unrolls has a row for each unroll length K, ascending to T. The last row is not truncated, and its gradient
	// with second derivatives is the whole gradient.
	Unrolls []Row `json:"unrolls"`
	// Nudged compares the whole gradient with the whole gradient of the same episodes from starts that are moved by
	// a millionth of their largest coordinate. If its cosine is not close to 1, the whole gradient depends on
	// rounding, and cosines with it say nothing about truncation.
	Nudged Agreement `json:"nudged"`
}

// A Row holds the results for one unroll length.
type Row struct {
	Unroll int `json:"unroll"`
	// FirstOrder treats the gradients that the network reads as constants, as the paper does. SecondDerivatives also
	// differentiates through them.
	FirstOrder        Agreement `json:"first_order"`
	SecondDerivatives Agreement `json:"second_derivatives"`
}

// An Agreement compares a gradient d with the whole gradient D. If d or D is 0, their cosine is NaN, which is null in JSON.
type Agreement struct {
	// Norm is ‖d‖ for the mean of d over episodes.
	Norm compare.Number `json:"norm"`
	// Cosine is ⟨d, D⟩/(‖d‖‖D‖) for the means of d and D over episodes. It measures the truncation's bias in direction:
	// 1 means no bias, 0 means that the directions are unrelated.
	Cosine compare.Number `json:"cosine"`
	// EpisodeCosines holds the cosine for each single episode.
	EpisodeCosines []compare.Number `json:"episode_cosines"`
}

func newReport(cfg CheckConfig, episodes []gradients) *Report {
	of := func(pick func(gradients) []float64) (all [][]float64) {
		for _, gs := range episodes {
			all = append(all, pick(gs))
		}
		return all
	}
	whole := of(func(gs gradients) []float64 { return gs.second[len(gs.second)-1] })
	r := &Report{
		Task: cfg.Family.Name(), Steps: cfg.Steps, Episodes: len(episodes), LeftOut: cfg.Episodes - len(episodes),
		Seed: cfg.Seed, Parameters: len(whole[0]),
		Nudged: agreement(of(func(gs gradients) []float64 { return gs.nudged }), whole),
	}
	for i, k := range cfg.Unrolls {
		r.Unrolls = append(r.Unrolls, Row{
			Unroll:            k,
			FirstOrder:        agreement(of(func(gs gradients) []float64 { return gs.firstOrder[i] }), whole),
			SecondDerivatives: agreement(of(func(gs gradients) []float64 { return gs.second[i] }), whole),
		})
	}
	return r
}

// agreement compares gradients d with the whole gradients. Both have one gradient per episode.
func agreement(d, whole [][]float64) Agreement {
	a := Agreement{Norm: compare.Number(floats.Norm(mean(d), 2)), Cosine: cosine(mean(d), mean(whole))}
	for e := range d {
		a.EpisodeCosines = append(a.EpisodeCosines, cosine(d[e], whole[e]))
	}
	return a
}

func mean(rows [][]float64) []float64 {
	m := make([]float64, len(rows[0]))
	for _, row := range rows {
		floats.AddScaled(m, 1/float64(len(rows)), row)
	}
	return m
}

func cosine(a, b []float64) compare.Number {
	// Both vectors are scaled to length 1 first, because a product of norms may overflow.
	na, nb := floats.Norm(a, 2), floats.Norm(b, 2)
	sum := 0.0
	for i := range a {
		sum += a[i] / na * (b[i] / nb)
	}
	return compare.Number(sum)
}
