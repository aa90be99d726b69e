package optimizer

// A Metric names one n × n matrix M_t(θ) of second-order information, or a set of them combined with |.
type Metric uint8

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
)

// A Curvature is a Problem that can multiply its second-order matrices by vectors.
type Curvature interface {
	// Metrics returns the metrics that this problem offers. It returns 0 if there are none: a decorator
	// around a problem without curvature returns 0.
	Metrics() Metric
	// CurvatureProduct writes M_t(θ)·v into dst, where metric selects M and step is t, the step whose
	// data are used. metric is exactly one of Metrics. All slices have length n. dst may be v, but not
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
