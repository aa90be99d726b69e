package studies

import (
	"context"
	"fmt"
	"math"

	"learnedopt/denoising"
	"learnedopt/internal/stream"
	"learnedopt/optimizer"
	"learnedopt/report"
	"learnedopt/rules"
)

// denoisingStudy tunes λ of total variation, then trains from there a matrix in place of the differences, and one with a linear map. The λ of total
// variation is chosen on the training signals, everything else on signals for validation, nothing on the test signals.
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
	d := &denoisers{bench: b, n: n, training: draw(b.pick(9000, 60)), validation: draw(b.pick(100, 40)), test: draw(b.pick(400, 40))}
	best, lowest := 0.0, d.exact(0, d.training)
	for lambda := 1.0; lambda <= 100; lambda *= 1.05 {
		if v := d.exact(lambda, d.training); v < lowest {
			best, lowest = lambda, v
		}
	}
	mapped := &denoising.Layer{N: n, Map: true}
	start, fitted, lambda, least := make([]float32, mapped.Layout().Len()), []float32(nil), 0.0, math.Inf(1)
	for factor := 1.0; factor < 1.6; factor *= 1.15 {
		if err := mapped.Fit(start, factor*best, d.training); err != nil {
			return err
		}
		v, err := squareError(mapped, start, d.validation)
		if err != nil {
			return err
		}
		if v < least {
			fitted, lambda, least = append([]float32(nil), start...), factor*best, v
		}
	}
	d.table = Table{Title: fmt.Sprintf("mean square error on %d test signals of %d numbers, noise of variance 100", len(d.test), n), Header: []string{"by", "validation", "test", "the best of"}}
	d.row("nothing", d.exact(0, d.validation), d.exact(0, d.test), "")
	d.row(fmt.Sprintf("total variation, λ = %.1f (taut string)", best), d.exact(best, d.validation), d.exact(best, d.test), "")
	test, err := squareError(mapped, fitted, d.test)
	if err != nil {
		return err
	}
	d.row(fmt.Sprintf("total variation, λ = %.1f, and a linear map by least squares", lambda), least, test, "")
	d.picture = Picture{Name: "validation-error", Title: "denoising: error on signals kept for validation", X: "step", Y: "mean square error"}
	// A number of D is multiplied by heights of 55, one of V by their differences.
	const rate = 1e-4
	steps := b.pick(60, 40)
	plain := &denoising.Layer{N: n}
	variation := make([]float32, plain.Layout().Len())
	plain.Differences(variation, best)
	if err := d.train(ctx, "a learned D, with adam", adam(rate, steps).Rule, plain, variation, steps); err != nil {
		return err
	}
	both := rules.Groups{{N: (n - 1) * n, Rule: adam(rate, steps).Rule}, {N: n*n + n, Rule: adam(rate/10, steps).Rule}}
	if err := d.train(ctx, "a learned D and map, with adam", both, mapped, fitted, steps); err != nil {
		return err
	}
	for _, rule := range b.Rules {
		if err := d.train(ctx, "a learned D, with "+rule.Name, rule.Rule, plain, variation, steps); err != nil {
			return err
		}
	}
	b.Tables, b.Pictures = append(b.Tables, d.table), append(b.Pictures, d.picture)
	return nil
}

// squareError returns the mean square error of a layer.
func squareError(layer *denoising.Layer, theta []float32, signals []denoising.Signal) (float64, error) {
	sum, n := 0.0, layer.N
	for from := 0; from < len(signals); from += 50 {
		part := signals[from:min(from+50, len(signals))]
		x, err := layer.Forward(theta, part)
		if err != nil {
			return 0, err
		}
		for i, s := range part {
			sum += denoising.MeanSquare(x[i*n:i*n+n], s.Clean) / float64(len(signals))
		}
	}
	return sum, nil
}

// denoisers are trained on the same signals.
type denoisers struct {
	*bench
	n                          int
	training, validation, test []denoising.Signal
	table                      Table
	picture                    Picture
}

// exact returns the mean square error of total variation.
func (d *denoisers) exact(lambda float64, signals []denoising.Signal) float64 {
	sum, x := 0.0, make([]float64, d.n)
	for _, s := range signals {
		denoising.TautString(x, s.Noisy, lambda)
		sum += denoising.MeanSquare(x, s.Clean) / float64(len(signals))
	}
	return sum
}

// row adds a row to the table.
func (d *denoisers) row(name string, validation, test float64, remark string) {
	d.table.Rows = append(d.table.Rows, []string{name, fmt.Sprintf("%.2f", validation), fmt.Sprintf("%.2f", test), remark})
}

// train trains a layer from a start, of which the test gets the point with the least error on the validation signals, and adds its row and curve.
func (d *denoisers) train(ctx context.Context, name string, rule optimizer.Rule, layer *denoising.Layer, start []float32, steps int) error {
	batch, interval := d.pick(16, 8), d.pick(20, 5)
	theta := append([]float32(nil), start...)
	var at, errors []float64
	best, bestStep, least := append([]float32(nil), theta...), 0, math.Inf(1)
	err := train(ctx, rule, layer.Layout(), theta, steps, func(step int, grad []float32) (float64, error) {
		pick := stream.New(d.Seed, "denoising batch", uint64(step))
		var signals []denoising.Signal
		for range batch {
			signals = append(signals, d.training[pick.IntN(len(d.training))])
		}
		return layer.LossGrad(theta, grad, signals)
	}, func(step int) error {
		if step%interval != 0 && step != steps {
			return nil
		}
		v, err := squareError(layer, theta, d.validation)
		at, errors = append(at, float64(step)), append(errors, v)
		if v < least {
			least, bestStep = v, step
			copy(best, theta)
		}
		d.note(fmt.Sprintf("%s, step %d of %d: validation error %.2f", name, step, steps, v))
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	test, err := squareError(layer, best, d.test)
	if err != nil {
		return err
	}
	d.row(name, least, test, fmt.Sprintf("step %d of %d × %d", bestStep, steps, batch))
	d.picture.Series = append(d.picture.Series, report.Series{Name: name, Mean: errors, X: at})
	return nil
}
