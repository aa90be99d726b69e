package htmlreport

// average computes the mean of the finite values.
type average struct {
	sum float64
	n   int
}

func (a *average) add(x Num, times int) {
	if x.finite() && times > 0 {
		a.sum += float64(x) * float64(times)
		a.n += times
	}
}

func (a average) mean() Num {
	if a.n == 0 {
		return nan
	}
	return Num(a.sum / float64(a.n))
}

func (l *runLog) episode(e Episode) {
	if l.filled > 0 && l.open.Training != e.Training {
		l.flush()
	}
	l.open.Training, l.open.MetaStep = e.Training, e.MetaStep
	l.open.Clipped += e.Clipped
	for i, x := range []Num{e.MeanLoss, e.FinalLoss, e.GNorm} {
		l.losses[i].add(x, 1)
	}
	if l.filled++; l.filled >= l.stride {
		l.flush()
	}
}

// flush adds the open point to the curves, even if it is not full.
func (l *runLog) flush() {
	if l.filled == 0 {
		return
	}
	l.open.MeanLoss, l.open.FinalLoss, l.open.GNorm = l.losses[0].mean(), l.losses[1].mean(), l.losses[2].mean()
	l.run.Episodes = append(l.run.Episodes, l.open)
	l.open, l.losses, l.filled = Episode{}, [3]average{}, 0
	if len(l.run.Episodes) >= maxEpisodes {
		l.merge()
	}
}

// merge halves the number of points: it replaces each two neighbouring points of a training by their mean.
func (l *runLog) merge() {
	var merged []Episode
	for all := l.run.Episodes; len(all) > 0; {
		a := all[0]
		if len(all) == 1 || all[1].Training != a.Training {
			merged, all = append(merged, a), all[1:]
			continue
		}
		b := all[1]
		point := Episode{Training: a.Training, MetaStep: b.MetaStep, Clipped: a.Clipped + b.Clipped}
		for _, f := range []struct {
			to   *Num
			x, y Num
		}{{&point.MeanLoss, a.MeanLoss, b.MeanLoss}, {&point.FinalLoss, a.FinalLoss, b.FinalLoss}, {&point.GNorm, a.GNorm, b.GNorm}} {
			var mean average
			mean.add(f.x, 1)
			mean.add(f.y, 1)
			*f.to = mean.mean()
		}
		merged, all = append(merged, point), all[2:]
	}
	l.run.Episodes = merged
	l.stride *= 2
	l.halved++
}
