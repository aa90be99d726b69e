package simulation

import "context"

// A Row is a line of a plan: a simulation, and how much more units a second it gives than the synchronous one.
type Row struct {
	Config
	Result
	// Save is the time of a saved state, in seconds. The simulation takes none: how often they are is what a user sets.
	Save float64
	// Gain is the rate in times of that of the synchronous meta-step with the same workers and meta-batch.
	Gain float64
}

// fleets are the numbers of workers of a plan, ratios the meta-batches in times of the workers.
var (
	fleets = []int{1, 10, 40, 100, 1000}
	ratios = []int{1, 2, 4, 8}
)

// planned is the number of units of a simulation of a plan, unless its meta-steps would be too few.
const planned = 20_000

// steps returns the number of meta-steps: with the first fifth taken off, a multiple of those from one validation to the next.
func steps(batch, validEvery int) int {
	counted := max(planned/batch, 50)
	if validEvery > 0 {
		counted = (counted + validEvery - 1) / validEvery * validEvery
	}
	return counted * 5 / 4
}

// Synchronous simulates the synchronous meta-step for 1 to 1,000 workers, with one episode for each worker, two, four and eight.
func Synchronous(ctx context.Context, f Figures, windows int, seed uint64) ([]Row, error) {
	var rows []Row
	for _, n := range fleets {
		for _, ratio := range ratios {
			row, err := simulate(ctx, Config{Workers: n, Batch: ratio * n, Windows: windows, Seed: seed, Figures: f})
			if err != nil {
				return nil, err
			}
			row.Gain = 1
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// Asynchronous simulates φ's of up to 1, 2 and 4 meta-steps ago, and of exactly that age, against the synchronous meta-step.
func Asynchronous(ctx context.Context, f Figures, windows int, seed uint64) ([]Row, error) {
	var rows []Row
	for _, n := range fleets[1:] {
		for _, ratio := range []int{1, 4} {
			base := 0.0
			for _, c := range []Config{{}, {Stale: 1}, {Stale: 2}, {Stale: 4}, {Stale: 1, Mode: Delayed}, {Stale: 4, Mode: Delayed}} {
				c.Workers, c.Batch, c.Windows, c.Seed, c.Figures = n, ratio*n, windows, seed, f
				row, err := simulate(ctx, c)
				if err != nil {
					return nil, err
				}
				if c.Stale == 0 {
					base = row.Rate()
				}
				row.Gain = row.Rate() / base
				rows = append(rows, row)
			}
		}
	}
	return rows, nil
}

func simulate(ctx context.Context, c Config) (Row, error) {
	if err := ctx.Err(); err != nil {
		return Row{}, err
	}
	c.SaveEvery = 0
	c.Steps = steps(c.Batch, c.ValidEvery)
	r, err := Run(c)
	return Row{Config: c, Result: r, Save: c.State * float64(c.Batch) / c.Link}, err
}
