package baselines

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"learnedopt/internal/gemm"
	"learnedopt/optimizer"
)

// SOAP is Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024, arXiv:2409.11321, and their repository nikhilvyas/SOAP): a rule for matrices
// that reads gradients alone. With G_t the gradient of a matrix,
//
//	L_t = β₂ L_{t−1} + (1−β₂) G_t G_tᵀ,   R_t = β₂ R_{t−1} + (1−β₂) G_tᵀ G_t
//	G'_t = P_tᵀ G_t Q_t,   M'_t = β₁ M'_{t−1} + (1−β₁) G'_t,   V_t = β₂ V_{t−1} + (1−β₂) G'_t²
//	U_t = −α_t P_t (√(1−β₂ᵏ)/(1−β₁ᵏ) M'_t / (√V_t + ε)) Q_tᵀ − α_t λ (Θ_t + …)
//
// with k = t − 1, since the first step only makes the first eigenvectors P and Q of L and R, and moves nothing. Every Frequency steps they take one step of a power iteration: the QR decompositions of L P
// and R Q, ordered by the size of the diagonals of PᵀLP and QᵀRQ. M' keeps its meaning then, and V follows the order. A side of more than MaxDim numbers has the identity in place of P or Q; with
// two such sides the rule is Adam. λ shrinks the parameters after the step.
//
// Which tensors: optimizer.Matrix, and optimizer.Convolution as the matrix of its output channels by all other dimensions, unless the channels lie between these. All other tensors
// are moved by the same rule without P and Q, AdamW; in a flat layout everything is.
//
// A gradient above about 10¹⁵ leaves L and R as they are. L is inaccurate where its eigenvalues are below 10⁻⁷ of the largest. If G has fewer columns than rows, its L has eigenvectors at first that belong to nothing, and here they are completed to an orthogonal P by reflections; the
// authors' are what LAPACK gives. The learning rate α_t rises and falls as NAdamW's.
//
// The bits of a product of matrices depend on the processor's vector instructions, and so do the bits of this rule. A matrix of m × n numbers takes 2(m² + n²) numbers of memory beside Adam's,
// and a step of it four products with squares of m and of n.
type SOAP struct {
	// LearningRate is α, the highest learning rate of the run. It must be set: the authors have 0.003.
	LearningRate float64 `json:"learning_rate"`
	// Betas are β₁ and β₂ in [0, 1). The pair (0, 0) means (0.95, 0.95). In any other pair 0 means 0.
	Betas [2]float64 `json:"betas"`
	// Epsilon is ε; 0 means 1e-8.
	Epsilon float64 `json:"epsilon"`
	// Frequency is the number of steps from one P and Q to the next; 0 means 10.
	Frequency int `json:"frequency,omitempty"`
	// MaxDim is the largest side that has a P or Q; 0 means 1024. The authors have 10,000, on accelerators.
	MaxDim int `json:"max_dim,omitempty"`
	// WeightDecay is λ in [0, 1); 0 by default.
	WeightDecay float64 `json:"weight_decay,omitempty"`
	// WarmUp is the share of the run in which the learning rate rises, in [0, 1). 0 means 0.02; use 1e-9 for a run
	// without warm-up.
	WarmUp float64 `json:"warm_up,omitempty"`
	// Steps is the number of steps T that the schedule is laid over. 0 means the length of the run, which the caller must
	// then know (optimizer.Needs.Total).
	Steps int `json:"steps,omitempty"`
}

var _ optimizer.Rule = SOAP{}

// WithDefaults returns r with the zero pair of Betas and its zero Epsilon, Frequency, MaxDim and WarmUp set to their defaults.
func (r SOAP) WithDefaults() SOAP {
	if r.Betas == [2]float64{} {
		r.Betas = [2]float64{0.95, 0.95}
	}
	r.Epsilon = or(r.Epsilon, 1e-8)
	if r.Frequency == 0 {
		r.Frequency = 10
	}
	if r.MaxDim == 0 {
		r.MaxDim = 1024
	}
	r.WarmUp = or(r.WarmUp, defaultWarmUp)
	return r
}

// Validate returns an error if a field is out of its range.
func (r SOAP) Validate() error {
	var whole error
	if r.Frequency < 0 || r.MaxDim < 0 {
		whole = fmt.Errorf("baselines: soap: frequency %d and largest side %d; want at least 1, or 0 for the defaults", r.Frequency, r.MaxDim)
	}
	return errors.Join(
		learningRate("soap", r.LearningRate),
		validBetas("soap", r.Betas),
		inRange("soap", "epsilon", r.Epsilon, 0, limit, forDefault),
		inRange("soap", "weight decay", r.WeightDecay, 0, 1, orZero),
		whole, validSchedule("soap", r.WarmUp, r.Steps))
}

// Needs implements optimizer.Rule: the length of the run unless Steps is set, and the parameters if there is weight decay.
func (r SOAP) Needs() optimizer.Needs {
	return optimizer.Needs{Theta: r.WeightDecay != 0, Total: r.Steps == 0}
}

// A rotated is a matrix of rows × cols numbers that SOAP rotates.
type rotated struct {
	from, rows, cols int
	left, right      *side // nil for the identity
}

func (m rotated) to() int { return m.from + m.rows*m.cols }

// A side is L with P, or R with Q.
type side struct{ moment, basis gemm.Matrix }

// Start implements optimizer.Rule. It panics if the rule is not valid.
func (r SOAP) Start(layout optimizer.Layout) optimizer.State {
	s := &soapState{memory: newMemory(r, "soap", layout, 2), rule: r.WithDefaults()}
	r = s.rule
	largest, longest := 0, 0
	add := func(n int) *side {
		if n > r.MaxDim {
			return nil
		}
		longest = max(longest, n)
		moment, basis := make([]float32, n*n), make([]float32, n*n)
		s.vectors = append(s.vectors, moment, basis)
		return &side{gemm.Of(moment, n, n), gemm.Of(basis, n, n)}
	}
	for _, t := range layout.Tensors() {
		if t.Outputs() == 0 || t.Inputs() == 0 {
			continue // no matrix, or no element
		}
		m := rotated{from: t.From, rows: t.Outputs(), cols: t.Inputs()}
		switch before, after := t.AroundOutputs(); {
		case after == 1:
			m.rows, m.cols = m.cols, m.rows
		case before != 1:
			continue
		}
		if m.left, m.right = add(m.rows), add(m.cols); m.left == nil && m.right == nil {
			continue
		}
		s.matrices = append(s.matrices, m)
		largest = max(largest, m.rows*m.cols)
	}
	for _, x := range []*[]float32{&s.x, &s.y, &s.grad} {
		*x = make([]float32, largest)
	}
	for _, x := range []*[]float32{&s.square, &s.power} {
		*x = make([]float32, longest*longest)
	}
	s.estimates, s.order = make([]float64, longest), make([]int, longest)
	return s
}

type soapState struct {
	memory        // M' and V of all coordinates, then L, P, R and Q of the matrices
	rule          SOAP
	matrices      []rotated
	x, y, grad    []float32 // three matrices
	square, power []float32 // two squares of the longest side
	estimates     []float64
	order         []int
	qr            gemm.QR
}

// Update implements optimizer.State.
func (s *soapState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	r, total := &s.rule, length(s.rule.Steps, p)
	theta := s.decayed(r.WeightDecay, p)
	s.step(dst, p.Grad)
	rate, at := r.LearningRate*warmUpCosine(int(s.steps)-1, total, r.WarmUp), 0
	m, v := s.vectors[0], s.vectors[1]
	for _, mat := range s.matrices {
		s.adam(dst[at:mat.from], p.Grad[at:mat.from], m[at:mat.from], v[at:mat.from], rate)
		at = mat.to()
		s.turn(dst[mat.from:at], p.Grad[mat.from:at], mat, rate)
	}
	s.adam(dst[at:], p.Grad[at:], m[at:], v[at:], rate)
	if theta != nil && s.steps > 1 {
		by := float32(rate * r.WeightDecay)
		for i, x := range theta {
			dst[i] -= float32(by * (x + dst[i]))
		}
	}
	return 0, nil
}

// adam writes Adam's update, without weight decay, of gradients grad with the means m and v. In the first step it is 0, and the means do not move.
func (s *soapState) adam(dst, grad, m, v []float32, rate float64) {
	k := float64(s.steps - 1)
	if k == 0 {
		clear(dst)
		return
	}
	r := &s.rule
	scale := float32(-rate * math.Sqrt(1-math.Pow(r.Betas[1], k)) / (1 - math.Pow(r.Betas[0], k)))
	keep1, take1, keep2, take2 := float32(r.Betas[0]), float32(1-r.Betas[0]), float32(r.Betas[1]), float32(1-r.Betas[1])
	epsilon := float32(r.Epsilon)
	for i, g := range grad {
		m[i] = float32(keep1*m[i]) + float32(take1*g)
		v[i] = float32(keep2*v[i]) + float32(float32(take2*g)*g)
		dst[i] = float32(scale*m[i]) / (sqrt(v[i]) + epsilon)
	}
}

// turn writes the update of a matrix.
func (s *soapState) turn(dst, grad []float32, mat rotated, rate float64) {
	n := mat.rows * mat.cols
	g := s.grad[:n]
	copy(g, grad)
	m, v := s.vectors[0][mat.from:mat.to()], s.vectors[1][mat.from:mat.to()]
	if s.steps == 1 {
		clear(dst)
		s.accumulate(mat, g)
		s.begin(mat, g)
		return
	}
	into := s.rotate(g, mat, true)
	s.adam(into, into, m, v, rate)
	copy(dst, s.rotate(into, mat, false))
	s.accumulate(mat, g)
	if (s.steps-1)%uint64(s.rule.Frequency) == 0 {
		copy(m, s.rotate(m, mat, false))
		s.refresh(mat.left, v, mat, true)
		s.refresh(mat.right, v, mat, false)
		copy(m, s.rotate(m, mat, true))
	}
}

// rotate returns Pᵀ X Q, or P X Qᵀ if into is not set, in memory of the state that the next call may overwrite; x may be what the last call returned.
func (s *soapState) rotate(x []float32, mat rotated, into bool) []float32 {
	n := mat.rows * mat.cols
	free := func() []float32 {
		if n > 0 && &x[0] == &s.x[0] {
			return s.y[:n]
		}
		return s.x[:n]
	}
	if mat.left != nil {
		basis := mat.left.basis
		if into {
			basis = basis.T()
		}
		to := free()
		gemm.Default().Mul(gemm.Of(to, mat.rows, mat.cols), basis, gemm.Of(x, mat.rows, mat.cols), false)
		x = to
	}
	if mat.right != nil {
		basis := mat.right.basis
		if !into {
			basis = basis.T()
		}
		to := free()
		gemm.Default().Mul(gemm.Of(to, mat.rows, mat.cols), gemm.Of(x, mat.rows, mat.cols), basis, false)
		x = to
	}
	return x
}

// largestMoment bounds L and R, so that their products with P and Q do not overflow float32.
const largestMoment = 1e30

// accumulate moves L and R toward the products of a gradient with itself. It leaves out a product with a number above largestMoment.
func (s *soapState) accumulate(mat rotated, g []float32) {
	x := gemm.Of(g, mat.rows, mat.cols)
	add := func(sd *side, a, b gemm.Matrix) {
		if sd == nil {
			return
		}
		n := sd.moment.Rows
		sum, take := gemm.Of(s.square[:n*n], n, n), float32(1-s.rule.Betas[1])
		gemm.Default().Mul(sum, a, b, false)
		for _, y := range sum.Data {
			if !(math.Abs(float64(y)) < largestMoment) {
				return
			}
		}
		for i, y := range sum.Data {
			sd.moment.Data[i] += float32(take * (y - sd.moment.Data[i]))
		}
	}
	add(mat.left, x, x.T())
	add(mat.right, x.T(), x)
}

// begin makes the first P and Q. With GᵀG = Q S Qᵀ, and G Q completed to an orthogonal matrix, both follow from the eigenvectors of the shorter side.
func (s *soapState) begin(mat rotated, g []float32) {
	x, short, long := gemm.Of(g, mat.rows, mat.cols), mat.right, mat.left
	if mat.rows <= mat.cols {
		x, short, long = x.T(), mat.left, mat.right
	}
	s.qr.LeftVectors(short.basis.Data, x.T()) // short is there, since only sides above MaxDim are not
	if long == nil {
		return
	}
	product := gemm.Of(s.x[:x.Rows*x.Cols], x.Rows, x.Cols)
	gemm.Default().Mul(product, x, short.basis, false)
	s.qr.Basis(long.basis.Data, product.Data, x.Rows, x.Cols)
}

// refresh takes a step of the power iteration for P, or for Q, and puts the rows or columns of v into the new order.
func (s *soapState) refresh(sd *side, v []float32, mat rotated, left bool) {
	if sd == nil {
		return
	}
	n := sd.basis.Rows
	product := gemm.Of(s.power[:n*n], n, n)
	gemm.Default().Mul(product, sd.moment, sd.basis, false)
	estimates := s.estimates[:n]
	clear(estimates)
	for i, b := range sd.basis.Data {
		estimates[i%n] += float64(b) * float64(product.Data[i])
	}
	order := s.order[:n]
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(estimates[j], estimates[i]) })
	sorted := s.square[:n*n]
	for i := range n {
		for j, from := range order {
			sorted[i*n+j] = product.Data[i*n+from]
		}
	}
	s.qr.Basis(sd.basis.Data, sorted, n, n)
	was := s.y[:mat.rows*mat.cols]
	copy(was, v)
	for i := range mat.rows {
		for j := range mat.cols {
			if left {
				v[i*mat.cols+j] = was[order[i]*mat.cols+j]
			} else {
				v[i*mat.cols+j] = was[i*mat.cols+order[j]]
			}
		}
	}
}
