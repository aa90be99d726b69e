package optimizer

// A Metric names a matrix of second order M_t(θ), of n × n. Metrics combine by |.
type Metric uint8

const (
	// Hessian is ∇²f_t(θ).
	Hessian Metric = 1 << iota
	// Fisher is the exact Fisher information of the model's predictive distribution on the data of
	// step t, averaged over them:
	//
	//	F = 1/B Σ_i J_iᵀ Λ_i J_i,   J_i = ∂z_i/∂θ
	//
	// with z_i the model's outputs and Λ_i = diag(p_i) − p_i p_iᵀ of a softmax classifier, the
	// second derivative of the loss with respect to z_i otherwise. For these models it is the generalized
	// Gauss-Newton matrix (Martens 2020, arXiv:1412.1193, section 9.2) and positive semidefinite.
	Fisher
)

// A Curvature is a Problem that offers products of second-order matrices with vectors.
type Curvature interface {
	// Metrics returns the metrics that this problem offers; 0 if it offers none, as a decorator
	// around a problem without curvature does.
	Metrics() Metric
	// CurvatureProduct writes M_t(θ)·v into dst. M is of one metric out of Metrics, on the data of the
	// given step t. All slices have length n; dst may be v, not theta. The step that the next LossGrad
	// would use stays what it was. Wrong lengths, and a metric that the problem does not offer, panic;
	// an error means that no product could be computed.
	CurvatureProduct(dst, theta, v []float32, metric Metric, step int) error
}

// MetricsOf returns the metrics that a problem offers: 0 if it is not a Curvature.
func MetricsOf(p Problem) Metric {
	if c, ok := p.(Curvature); ok {
		return c.Metrics()
	}
	return 0
}
