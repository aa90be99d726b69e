package tasks

import (
	"fmt"
	"math"
	"math/rand/v2"

	"learnedopt/internal/precondition"
	"learnedopt/internal/stream"
	"learnedopt/optimizer"
)

// rank is the rank of the matrices of a Factorization.
const rank = 5

// Factorization completes a matrix of d×d numbers of which a part is known, as recommender systems do with ratings (Koren et
// al. 2009): it is for problems whose gradients are sparse. The matrix has rank 5, its elements have mean 0 and variance 1, and the known ones noise:
//
//	M_ij = 5^−½ Σ_{r≤5} A_ir C_jr + 0.1 ε_ij,   A, C, ε ~ N(0, 1) iid;   20·d elements, drawn uniformly, are known,
//	f_t(θ) = mean over minibatch t of  (u_i·v_j − M_ij)².
//
// θ holds the rows u_1, …, u_d ∈ R⁵ and then v_1, …, v_d, and starts at N(0, 0.3²). A minibatch is B known elements drawn with
// replacement. The gradient of a row that it does not meet is 0.
type Factorization struct {
	// Dims is d; 0 means 100.
	Dims int
	// Batch is B; 0 means 128.
	Batch int
}

var _ optimizer.Family = Factorization{}

// options returns the configuration with its defaults.
func (f Factorization) options() Options {
	return Options{Dims: f.Dims, Batch: f.Batch}.withDefaults(factorizations)
}

// Validate reports the first mistake in the configuration.
func (f Factorization) Validate() error {
	o := f.options()
	if o.Batch < 1 || o.Batch > 1<<16 {
		return fmt.Errorf("tasks: factorization: batch %d, want 1 to %d (0 means the default)", o.Batch, 1<<16)
	}
	return Options{Dims: o.Dims, Batch: 1}.validateBatch("factorization", 2)
}

// Name implements optimizer.Family.
func (f Factorization) Name() string {
	return f.options().lists().words("factorization", factorizations)
}

// Sample implements optimizer.Family.
func (f Factorization) Sample(rng *rand.Rand) (optimizer.Problem, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	o := f.options()
	layout, err := optimizer.NewLayout(
		// Tables of rows that are looked up multiply no inputs.
		optimizer.Tensor{Name: "u", Shape: []int{o.Dims, rank}}, optimizer.Tensor{Name: "v", Shape: []int{o.Dims, rank}})
	if err != nil {
		return nil, err
	}
	p := &factorization{layout: layout, seed: rng.Uint64(), batch: make([]int, o.Batch), fed: -1, pcg: &rand.PCG{}}
	p.rng = rand.New(p.pcg)
	p.fill(o.Dims, rng)
	return p, nil
}

// An element is a known element of the matrix. row and column are the indices in θ where u_i and v_j start.
type element struct {
	row, column int
	value       float64
}

type factorization struct {
	layout optimizer.Layout
	seed   uint64
	known  []element
	step   int
	batch  []int // the elements of the minibatch of step fed
	fed    int   // −1 before the first
	pcg    *rand.PCG
	rng    *rand.Rand
}

var (
	_ optimizer.Curvature = (*factorization)(nil)
	_ optimizer.Seeker    = (*factorization)(nil)
	_ optimizer.Laid      = (*factorization)(nil)
)

// fill draws the known elements of a matrix.
func (p *factorization) fill(dims int, rng *rand.Rand) {
	truth := make([]float64, 2*dims*rank)
	for i := range truth {
		truth[i] = rng.NormFloat64()
	}
	p.known = make([]element, 20*dims)
	for k := range p.known {
		e := element{row: rank * rng.IntN(dims), column: rank * (dims + rng.IntN(dims))}
		for r := range rank {
			e.value += truth[e.row+r] * truth[e.column+r]
		}
		e.value = e.value/math.Sqrt(rank) + 0.1*rng.NormFloat64()
		p.known[k] = e
	}
}

// Dim implements optimizer.Problem.
func (p *factorization) Dim() int { return p.layout.Len() }

// Layout implements optimizer.Laid: two tables of d×5 numbers.
func (p *factorization) Layout() optimizer.Layout { return p.layout }

// Init implements optimizer.Problem.
func (p *factorization) Init(theta []float32) {
	precondition.Length("tasks", "theta", theta, p.Dim())
	rng := stream.New(p.seed, "init", 0)
	for i := range theta {
		theta[i] = float32(0.3 * rng.NormFloat64())
	}
}

// Seek implements optimizer.Seeker.
func (p *factorization) Seek(t int) {
	if t < 0 {
		panic(errStep)
	}
	p.step = t
}

// feed draws minibatch t, which depends on the seed and t alone.
func (p *factorization) feed(t int) {
	if p.fed == t {
		return
	}
	p.fed = t
	stream.Reseed(p.pcg, p.seed, "batch", uint64(t))
	for b := range p.batch {
		p.batch[b] = p.rng.IntN(len(p.known))
	}
}

// LossGrad implements optimizer.Problem.
func (p *factorization) LossGrad(theta, grad []float32) (float64, error) {
	precondition.Length("tasks", "theta", theta, p.Dim())
	precondition.Length("tasks", "grad", grad, p.Dim())
	p.feed(p.step)
	p.step++
	clear(grad)
	loss, scale := 0.0, 1/float64(len(p.batch))
	for _, k := range p.batch {
		e := p.known[k]
		u, v := theta[e.row:e.row+rank], theta[e.column:e.column+rank]
		du, dv := grad[e.row:e.row+rank], grad[e.column:e.column+rank]
		miss := dot(u, v) - e.value
		loss += scale * miss * miss
		d := float32(2 * scale * miss)
		for r := range rank {
			du[r] += d * v[r]
			dv[r] += d * u[r]
		}
	}
	return loss, nil
}

func dot(a, b []float32) (sum float64) {
	for i, x := range a {
		sum += float64(x) * float64(b[i])
	}
	return sum
}

// Metrics implements optimizer.Curvature.
func (p *factorization) Metrics() optimizer.Metric { return optimizer.Hessian | optimizer.Fisher }

// CurvatureProduct implements optimizer.Curvature. With the direction (u′, v′) and the miss e = u_i·v_j − M_ij the sum over the minibatch is
//
//	(Hx)_i = 2/B Σ (u′·v + u·v′) v + e v′,   and with i and j exchanged; Fisher, the Gauss-Newton matrix, is without e.
func (p *factorization) CurvatureProduct(dst, theta, x []float32, metric optimizer.Metric, step int) error {
	checkProduct(p, dst, theta, x, metric, step)
	p.feed(step)
	if &dst[0] == &x[0] {
		x = append([]float32(nil), x...)
	}
	clear(dst)
	scale := 2 / float64(len(p.batch))
	for _, k := range p.batch {
		e := p.known[k]
		u, v := theta[e.row:e.row+rank], theta[e.column:e.column+rank]
		xu, xv := x[e.row:e.row+rank], x[e.column:e.column+rank]
		du, dv := dst[e.row:e.row+rank], dst[e.column:e.column+rank]
		change, miss := scale*(dot(xu, v)+dot(u, xv)), 0.0
		if metric == optimizer.Hessian {
			miss = scale * (dot(u, v) - e.value)
		}
		for r := range rank {
			du[r] += float32(change*float64(v[r]) + miss*float64(xv[r]))
			dv[r] += float32(change*float64(u[r]) + miss*float64(xu[r]))
		}
	}
	return nil
}
