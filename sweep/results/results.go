package results

import (
	"slices"

	"learnedopt/compare"
)

// Results are the records of a sweep and their comparisons. metaopt sweep --json prints them as JSON.
type Results struct {
	*Manifest
	Cells []CellResult `json:"cells"`
	// Summaries has an entry for each learned rule.
	Summaries []Summary `json:"summaries"`
	// Missing counts the records that do not exist: records of cells that have not run yet, and of rules that
	// diverged at every learning rate.
	Missing int `json:"missing"`
}

// A CellResult holds the records of a cell and the comparisons between them.
type CellResult struct {
	Cell
	// Records are in the order of Manifest.Rules; missing records are left out.
	Records []Record `json:"records"`
	// Duels has an entry for each learned rule that has a record.
	Duels []Duel `json:"duels"`
}

// A Duel compares a learned rule with the best tuned rule of a cell.
type Duel struct {
	Rule      string         `json:"rule"`
	MeanLoss  compare.Number `json:"mean_loss"`
	FinalLoss compare.Number `json:"final_loss"`
	Diverged  int            `json:"diverged"`
	// Best is the tuned rule with the fewest divergences on these instances and, among equals, the least mean
	// loss; "" if the cell has no tuned rule. It is chosen on the same instances that it is compared on, which favours it.
	Best         string         `json:"best"`
	BestMeanLoss compare.Number `json:"best_mean_loss"`
	BestDiverged int            `json:"best_diverged"`
	Ratio        Ratio          `json:"ratio"`
	// SpeedUp is measured against SpeedUpAgainst: ReachRule as tuned in the cell, or else as tuned on the base
	// task. It is nil if there is no such rule, or if the learned rule diverged.
	SpeedUp        *SpeedUp `json:"speed_up"`
	SpeedUpAgainst string   `json:"speed_up_against"`
	// SpeedUpInTime is SpeedUp in wall time: the factor is the time of SpeedUp's steps over the time of the learned rule's T
	// steps. It is nil if the time of a step of one of the two is not known.
	SpeedUpInTime *SpeedUp `json:"speed_up_in_time,omitempty"`
	// StepTime is the learned rule's.
	StepTime *compare.StepTime `json:"step_time,omitempty"`
}

// Load reads the results of a sweep's folder, finished or not. It takes no lock: lines that a running sweep is still
// writing are left out.
func Load(dir string) (*Results, error) {
	m, err := ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	records, err := ReadRecords(dir)
	if err != nil {
		return nil, err
	}
	return m.Results(records), nil
}

// Results compares the records that belong to the sweep. It ignores all other records in the map.
func (m *Manifest) Results(records map[string]Record) *Results {
	res := &Results{Manifest: m, Missing: m.Missing(records)}
	for _, cell := range m.Cells {
		var own []Record
		for k, key := range cell.Keys {
			if r, ok := records[key]; ok {
				if r, ok = m.Place(r, &cell, k); ok {
					own = append(own, r)
				}
			}
		}
		res.Cells = append(res.Cells, Compare(cell, own))
	}
	for _, r := range m.Rules {
		if r.Kind == compare.Learned {
			res.Summaries = append(res.Summaries, res.summary(r.Name))
		}
	}
	return res
}

// Compare compares each learned rule of a cell with each hand-designed one. It fills in SpeedUp and Paired of the learned
// rules' records.
func Compare(cell Cell, records []Record) CellResult {
	c := CellResult{Cell: cell, Records: records}
	for i := range records {
		if records[i].Rule.Kind == compare.Learned {
			c.Duels = append(c.Duels, duel(&records[i], records))
		}
	}
	return c
}

// Result returns the record as a compare.Result, with its losses averaged over instances, without intervals and without a curve.
func (r *Record) Result() compare.Result {
	res := compare.Result{Name: r.Rule.Name, Kind: r.Rule.Kind, MeanLosses: r.MeanLosses, FinalLosses: r.FinalLosses, Diverged: r.Diverged}
	for i := range r.MeanLosses {
		res.MeanLoss += r.MeanLosses[i] / compare.Number(len(r.MeanLosses))
		res.FinalLoss += r.FinalLosses[i] / compare.Number(len(r.FinalLosses))
	}
	return res
}

// duel compares a learned rule with each tuned rule of its cell, fills in SpeedUp and Paired of its record, and
// returns the comparison with the best tuned rule.
func duel(learned *Record, cell []Record) Duel {
	own := learned.Result()
	d := Duel{Rule: own.Name, MeanLoss: own.MeanLoss, FinalLoss: own.FinalLoss, Diverged: own.Diverged, StepTime: learned.StepTime}
	learned.Paired, learned.SpeedUp = map[string]Ratio{}, map[string]SpeedUp{}
	var tuned []compare.Result
	for i := range cell {
		r := &cell[i]
		if r.Rule.Kind != compare.Baseline || r.Runs != learned.Runs || r.Seed != learned.Seed || r.Steps != learned.Steps {
			continue // no tuned rule, or not the same instances and horizon
		}
		tuned = append(tuned, r.Result())
		learned.Paired[r.Rule.Name] = ratioOf(compare.PairOf(own, tuned[len(tuned)-1], learned.Seed))
		if s, ok := r.speedUp(own.FinalLoss); ok {
			learned.SpeedUp[r.Rule.Name] = s
			if d.SpeedUp == nil || r.Rule.Tuned == TuneCell {
				d.SpeedUp, d.SpeedUpAgainst, d.SpeedUpInTime = &s, r.Rule.Name, s.inTime(r.StepTime, learned.StepTime)
			}
		}
	}
	if best := compare.Best(tuned); best >= 0 {
		b := &tuned[best]
		d.Best, d.BestMeanLoss, d.BestDiverged, d.Ratio = b.Name, b.MeanLoss, b.Diverged, learned.Paired[b.Name]
	}
	return d
}

// badness orders duels from good to bad for the learned rule: the ratio of mean losses, or 0 if the best tuned rule diverged
// and the learned one did not.
func (d *Duel) badness() compare.Number {
	if d.Diverged == 0 && !d.BestMeanLoss.Finite() {
		return 0
	}
	return d.Ratio.Ratio
}

func ratioOf(p compare.Paired) Ratio {
	r := Ratio{Ratio: p.Ratio, CI95: p.RatioCI95, Verdict: p.Verdict}
	if r.Verdict == compare.Undecided {
		r.Verdict = Open
	}
	return r
}

// A Summary counts in how many cells a learned rule won and lost against the best tuned rule.
type Summary struct {
	Rule string `json:"rule"`
	// Cells is the number of cells with a comparison. It is the sum of Won, Lost and Open.
	Cells int `json:"cells"`
	Won   int `json:"won"`
	Lost  int `json:"lost"`
	Open  int `json:"open"`
	// Worst is the index in Results.Cells of the cell in which the learned rule diverged most often and, among equals, has
	// the largest ratio; -1 if no cell was compared.
	Worst int `json:"worst"`
	// SpeedUps are the speed-ups of the cells, sorted by ascending factor. A lower bound sorts after an exact value
	// that equals it.
	SpeedUps []SpeedUp `json:"speed_ups"`
	// InTime are the speed-ups in wall time, of the cells that have one, in the same order.
	InTime []SpeedUp `json:"speed_ups_in_time,omitempty"`
}

func (res *Results) summary(rule string) Summary {
	s := Summary{Rule: rule, Worst: -1, SpeedUps: []SpeedUp{}}
	var worst *Duel
	for i, c := range res.Cells {
		k := slices.IndexFunc(c.Duels, func(d Duel) bool { return d.Rule == rule })
		if k < 0 || c.Duels[k].Best == "" {
			continue
		}
		d := &c.Duels[k]
		s.Cells++
		switch d.Ratio.Verdict {
		case compare.Won:
			s.Won++
		case compare.Lost:
			s.Lost++
		default:
			s.Open++
		}
		if worst == nil || d.Diverged > worst.Diverged || d.Diverged == worst.Diverged && d.badness() > worst.badness() {
			worst, s.Worst = d, i
		}
		if d.SpeedUp != nil {
			s.SpeedUps = append(s.SpeedUps, *d.SpeedUp)
		}
		if d.SpeedUpInTime != nil {
			s.InTime = append(s.InTime, *d.SpeedUpInTime)
		}
	}
	sortSpeedUps(s.SpeedUps)
	sortSpeedUps(s.InTime)
	return s
}
