package tasks

import (
	"fmt"
	"math"

	"learnedopt/internal/divergence"
	"learnedopt/internal/gemm/mlp"
	"learnedopt/internal/precondition"
	"learnedopt/optimizer"
)

// A trial compares outputs of a network at two points. It allocates its buffers at the first Try.
type trial struct {
	net     products // nil before the first
	theta   []float32
	outputs []float32 // at theta
	at      int       // the step of outputs, −1 before the first
	p, q    []float64 // of one example
}

// CanTry implements optimizer.Trier.
func (p *classifier) CanTry() bool { return true }

// Try implements optimizer.Trier. It costs a forward pass, and another one if θ or the step differs from those of the last call.
// The predictive distribution of a regression has independent errors of variance ½, so that KL is the mean of ‖z − z'‖².
func (p *classifier) Try(theta, to []float32, step int) (optimizer.Trial, error) {
	p.open()
	checkTry(p, theta, to, step)
	net, t := p.net, &p.net.curvature.trial
	if t.net == nil {
		classes := net.data.outputs()
		t.net, t.theta, t.outputs = net.curvature.make(), make([]float32, len(theta)), make([]float32, len(net.oneHot))
		t.p, t.q = make([]float64, classes), make([]float64, classes)
	}
	if net.fed != step {
		if err := net.feed(step); err != nil {
			return optimizer.Trial{}, fmt.Errorf("tasks: data of step %d: %w", step, err)
		}
	}
	if t.at != step || !sameBits(t.theta, theta) {
		copy(t.outputs, t.net.Logits(theta, net.pixels))
		copy(t.theta, theta)
		t.at = step
	}
	return t.compare(t.outputs, t.net.Logits(to, net.pixels), net.oneHot, net.data.regression()), nil
}

// compare compares outputs z and w of a minibatch with labels y, or numbers to predict.
func (t *trial) compare(z, w, y []float32, squared bool) (all optimizer.Trial) {
	classes := len(t.p)
	for at := 0; at < len(z); at += classes {
		if squared {
			for j := at; j < at+classes; j++ {
				d := float64(w[j]) - float64(z[j])
				all.KL += d * d
				all.Change += d * (float64(w[j]) + float64(z[j]) - 2*float64(y[j]))
			}
			continue
		}
		change, kl := softmaxTrial(t.p, t.q, z[at:at+classes], w[at:at+classes], y[at:at+classes])
		all.Change += change
		all.KL += kl
	}
	rows := float64(len(z) / classes)
	all.Change /= rows
	all.KL /= rows
	return all
}

// softmaxTrial compares the logits z and w of one example: the change of its cross-entropy with the labels y, and KL(softmax z ‖ softmax w). p and
// q are scratch memory.
func softmaxTrial(p, q []float64, z, w, y []float32) (change, kl float64) {
	sumZ, topZ := mlp.Exponentials(p, z)
	sumW, topW := mlp.Exponentials(q, w)
	logsums := math.Log(sumW/sumZ) + float64(topW) - float64(topZ)
	for j := range z {
		// log p_j − log q_j
		d := float64(z[j]) - float64(w[j]) + logsums
		if y[j] != 0 {
			change += float64(y[j]) * d
		}
		// With Σ p = Σ q = 1, a sum of p d − p + q has no negative term: it loses no digits to the cancellation in Σ p d.
		p, q := p[j]/sumZ, q[j]/sumW
		kl += divergence.Term(p, q, d)
	}
	return change, kl
}

// checkTry panics unless p can take these arguments of Try.
func checkTry(p optimizer.Problem, theta, to []float32, step int) {
	precondition.Length("tasks", "theta", theta, p.Dim())
	precondition.Length("tasks", "to", to, p.Dim())
	if step < 0 {
		panic(errStep)
	}
}

// canTry says whether the problem that a decorator wraps can try points.
func canTry(p optimizer.Problem) bool {
	t, ok := p.(optimizer.Trier)
	return ok && t.CanTry()
}

// tryAt tries points of the problem that a decorator wraps.
func tryAt(p optimizer.Problem, theta, to []float32, step int) (optimizer.Trial, error) {
	t, ok := p.(optimizer.Trier)
	if !ok {
		panic(errTrier)
	}
	return t.Try(theta, to, step)
}

// CanTry implements optimizer.Trier.
func (q *quadratic) CanTry() bool { return true }

// Try implements optimizer.Trier. The outputs W_b θ_b have independent errors of variance ½, so that KL is the mean of
// ‖W_b(θ_b − θ'_b)‖² over the functions.
func (q *quadratic) Try(theta, to []float32, step int) (optimizer.Trial, error) {
	checkTry(q, theta, to, step)
	d, all := q.dims, optimizer.Trial{}
	for b := range q.batch {
		for i := range d {
			row, along, residual := q.w[b*d*d+i*d:][:d], 0.0, -float64(q.y[b*d+i])
			for j, w := range row {
				along += float64(w) * (float64(to[b*d+j]) - float64(theta[b*d+j]))
				residual += float64(w) * float64(theta[b*d+j])
			}
			all.KL += along * along
			all.Change += along * (along + 2*residual)
		}
	}
	scale := q.scale / float64(q.batch)
	all.KL *= scale
	all.Change *= scale
	return all, nil
}

// CanTry implements optimizer.Trier.
func (r *rescaled) CanTry() bool { return canTry(r.problem) }

// Try implements optimizer.Trier, at c∘θ and c∘θ'.
func (r *rescaled) Try(theta, to []float32, step int) (optimizer.Trial, error) {
	checkTry(r, theta, to, step)
	copy(r.v, to)
	r.scale(r.v)
	return tryAt(r.problem, r.at(theta), r.v, step)
}

// CanTry implements optimizer.Trier.
func (p *perturbed) CanTry() bool { return canTry(p.problem) }

// Try implements optimizer.Trier, multiplied by s.
func (p *perturbed) Try(theta, to []float32, step int) (optimizer.Trial, error) {
	t, err := tryAt(p.problem, theta, to, step)
	t.Change *= p.scale
	t.KL *= p.scale
	return t, err
}

// CanTry implements optimizer.Trier.
func (p *joint) CanTry() bool {
	for _, part := range p.parts {
		if !canTry(part) {
			return false
		}
	}
	return true
}

// Try implements optimizer.Trier: the sums over the parts, which are independent.
func (p *joint) Try(theta, to []float32, step int) (all optimizer.Trial, err error) {
	checkTry(p, theta, to, step)
	for _, part := range p.parts {
		n := part.Dim()
		t, err := tryAt(part, theta[:n:n], to[:n:n], step)
		if err != nil {
			return all, err
		}
		all.Change += t.Change
		all.KL += t.KL
		theta, to = theta[n:], to[n:]
	}
	return all, nil
}
