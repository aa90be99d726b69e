package studies

import (
	"context"
	"fmt"

	"learnedopt/denoising"
	"learnedopt/internal/stream"
	"learnedopt/report"
)

// denoisingStudy tunes λ of total variation, then trains the matrix from there.
func denoisingStudy(ctx context.Context, b *bench) error {
	n := b.pick(100, 20)
	r := stream.New(b.Seed, "denoising", 0)
	draw := func(count int) []denoising.Signal {
		var s []denoising.Signal
		for range count {
			s = append(s, denoising.Draw(r, n))
		}
		return s
	}
	training, test := draw(b.pick(1000, 60)), draw(b.pick(200, 40))
	x := make([]float64, n)
	exact := func(lambda float64, signals []denoising.Signal) float64 {
		sum := 0.0
		for _, s := range signals {
			denoising.TautString(x, s.Noisy, lambda)
			sum += denoising.MeanSquare(x, s.Clean) / float64(len(signals))
		}
		return sum
	}
	best, least := 0.0, exact(0, training)
	for lambda := 1.0; lambda <= 100; lambda *= 1.1 {
		if v := exact(lambda, training); v < least {
			best, least = lambda, v
		}
	}
	t := Table{Title: fmt.Sprintf("mean square error on %d test signals of %d numbers, noise of variance 100", len(test), n), Header: []string{"by", "training", "test"},
		Rows: [][]string{{"nothing", fmt.Sprintf("%.2f", exact(0, training)), fmt.Sprintf("%.2f", exact(0, test))},
			{fmt.Sprintf("total variation, λ = %.1f (taut string)", best), fmt.Sprintf("%.2f", least), fmt.Sprintf("%.2f", exact(best, test))}}}
	layer := &denoising.Layer{N: n}
	steps, batch, interval := b.pick(300, 40), b.pick(16, 8), b.pick(20, 5)
	picture := Picture{Name: "test-error", Title: "denoising: test error while D is learned", X: "step", Y: "mean square error"}
	for _, rule := range append([]Rule{adam(0.003, steps)}, b.Rules...) {
		theta := make([]float32, layer.Layout().Len())
		layer.Differences(theta, best)
		mean := func(signals []denoising.Signal) (float64, error) {
			sum := 0.0
			for from := 0; from < len(signals); from += 50 {
				part := signals[from:min(from+50, len(signals))]
				z, err := layer.Forward(theta, part)
				if err != nil {
					return 0, err
				}
				for i, s := range part {
					sum += denoising.MeanSquare(z[i*n:i*n+n], s.Clean) / float64(len(signals))
				}
			}
			return sum, nil
		}
		var at, loss []float64
		err := train(ctx, rule.Rule, layer.Layout(), theta, steps, func(step int, grad []float32) (float64, error) {
			pick := stream.New(b.Seed, "denoising batch", uint64(step))
			var signals []denoising.Signal
			for range batch {
				signals = append(signals, training[pick.IntN(len(training))])
			}
			return layer.LossGrad(theta, grad, signals)
		}, func(step int) error {
			if step%interval != 0 && step != steps {
				return nil
			}
			v, err := mean(test)
			at, loss = append(at, float64(step)), append(loss, v)
			b.note(fmt.Sprintf("%s, step %d of %d: test error %.2f", rule.Name, step, steps, v))
			return err
		})
		if err != nil {
			return err
		}
		before, err := mean(training)
		if err != nil {
			return err
		}
		t.Rows = append(t.Rows, []string{"a learned D, trained with " + rule.Name, fmt.Sprintf("%.2f", before), fmt.Sprintf("%.2f", loss[len(loss)-1])})
		picture.Series = append(picture.Series, report.Series{Name: rule.Name, Mean: loss, X: at})
	}
	b.Tables, b.Pictures = append(b.Tables, t), append(b.Pictures, picture)
	return nil
}
