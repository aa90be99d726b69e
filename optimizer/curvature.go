package optimizer

// A Metric names one n × n matrix M_t(θ) of second-order information, or a set of them combined with |.
type Metric uint16

const (
	// Hessian is ∇²f_t(θ).
	Hessian Metric = 1 << iota
	// Fisher is the exact Fisher information of the model's predictive distribution, averaged over
	// the B examples of step t:
	//
	//	F = 1/B Σ_i J_iᵀ Λ_i J_i,   J_i = ∂z_i/∂θ
	//
	// z_i are the model's outputs. For a softmax classifier Λ_i = diag(p_i) − p_i p_iᵀ; otherwise Λ_i is
	// the second derivative of the loss with respect to z_i. For these models F equals the generalized
	// Gauss-Newton matrix (Martens 2020, arXiv:1412.1193, section 9.2) and is positive semidefinite.
	Fisher
	// SampledFisher is Fisher with Λ_i estimated from labels ŷ drawn from the model's own predictive distribution
	// r(·|x_i), S of them for each example (see Sampled):
	//
	//	Λ_i = 1/S Σ_s q_is q_isᵀ,   q_is = −∇_z log r(ŷ_is|x_i),   ŷ_is ~ r(·|x_i)
	//
	// Its expectation is Fisher. The labels of a step are the same at every call.
	SampledFisher
	// EmpiricalFisher has the labels of the data in place of drawn ones. It is not an estimate of Fisher and has no
	// information of second order in it (Kunstner et al. 2019, arXiv:1905.12558).
	EmpiricalFisher

	kinds = 1<<iota - 1
)

// maxDraws is the largest number of labels of Sampled.
const maxDraws = 255

// Sampled returns SampledFisher with S labels for each example, 1 to 255. It panics outside that range.
func Sampled(labels int) Metric {
	if labels < 1 || labels > maxDraws {
		panic(errDraws)
	}
	return SampledFisher | Metric(labels)<<8
}

// Kind returns the metric, or the set, without the number of labels of Sampled.
func (m Metric) Kind() Metric { return m & kinds }

// Labels returns S of a SampledFisher, 1 unless it is from Sampled. It returns 0 for other metrics.
func (m Metric) Labels() int {
	if m.Kind() != SampledFisher {
		return 0
	}
	return max(1, int(m>>8))
}

// A Curvature is a Problem that can multiply its second-order matrices by vectors.
type Curvature interface {
	// Metrics returns the metrics that this problem offers. It returns 0 if there are none: a decorator
	// around a problem without curvature returns 0.
	Metrics() Metric
	// CurvatureProduct writes M_t(θ)·v into dst, where metric selects M and step is t, the step whose
	// data are used. metric is exactly one of Metrics, SampledFisher also as Sampled returns it. All slices have length n. dst may be v, but not
	// theta. The next LossGrad still uses the step that it would have used without this call. Wrong
	// lengths panic, and so does a metric that the problem does not offer; an error means that no product
	// could be computed.
	CurvatureProduct(dst, theta, v []float32, metric Metric, step int) error
}

// MetricsOf returns the metrics that a problem offers: 0 if it is not a Curvature.
func MetricsOf(p Problem) Metric {
	if c, ok := p.(Curvature); ok {
		return c.Metrics()
	}
	return 0
}

// A Trial is what a problem says about another point θ' than the current one, on the data of one step.
type Trial struct {
	// Change is s (f_t(θ') − f_t(θ)). s is the factor of the gradient that the problem reports: 1, unless its gradient is a
	// multiple of its loss's.
	Change float64
	// KL is s KL(r_θ ‖ r_θ'), the mean over the B examples of step t of the Kullback-Leibler divergence of the model's
	// predictive distributions, in nats. For a small u = θ' − θ it is ½ uᵀFu, with F of the metric Fisher.
	KL float64
}

// A Trier is a Problem with a predictive distribution, which can try another point before a rule goes there.
type Trier interface {
	// CanTry says whether this problem has such a distribution. It is false for a decorator around a problem that has none.
	CanTry() bool
	// Try compares the point to with theta on the data of a step. Both have length n, and neither is kept or changed. The next LossGrad
	// still uses the step that it would have used without this call. Wrong lengths panic. Numbers that overflow are returned
	// as they are: a point that gives a NaN is not better.
	Try(theta, to []float32, step int) (Trial, error)
}

// A Block is what K-FAC needs of one dense layer z = aW + b of a network on a minibatch (Martens and Grosse 2015,
// arXiv:1503.05671, section 2). All rows count the same.
type Block struct {
	// Weights is the index in θ where the inputs × outputs matrix W begins, row-major; b follows it.
	Weights         int
	Inputs, Outputs int
	// In holds the B rows of inputs a, B × Inputs.
	In []float32
	// Out holds derivatives g of the layer's outputs z, (B·S) × Outputs. The mean of ggᵀ over the rows is the block of Fisher
	// that belongs to b.
	Out []float32
}

// A Factorer is a Problem whose Fisher matrix K-FAC can factor: all its parameters are those of dense layers.
type Factorer interface {
	// CanFactor says whether this problem is of that kind.
	CanFactor() bool
	// Factors returns the blocks of a network at θ, on the data of a step, one for each layer in the order of θ. Their
	// slices are valid until the next call of any method. metric is Fisher, SampledFisher or EmpiricalFisher. Wrong lengths
	// panic.
	Factors(theta []float32, metric Metric, step int) ([]Block, error)
}

// Offers returns the fields of a Point that Run can set for a problem.
func Offers(p Problem) Needs {
	t, tries := p.(Trier)
	f, factors := p.(Factorer)
	return Needs{Theta: true, Loss: true, Total: true, Metrics: MetricsOf(p), Trial: tries && t.CanTry(), Factors: factors && f.CanFactor()}
}
