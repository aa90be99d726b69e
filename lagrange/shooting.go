package lagrange

// An Unroll is a computation of several windows in a row, each of which begins in the state in which the one before ended. Windows depend on
// parameters φ that they share.
type Unroll interface {
	// Forward writes the state after window k, which begins in state s, into end and returns the window's part of the loss.
	Forward(end []float64, k int, s, phi []float64) float64
	// Backward adds the derivatives of (loss of window k) + endᵀw with respect to s and φ to ds and dphi.
	Backward(ds, dphi []float64, k int, s, phi, w []float64)
}

// Shooting is the training of φ through an Unroll by multiple shooting (Bock and Plitt 1984): the states s_1 … s_{W−1} at which windows begin are
// unknowns as φ is, and
//
//	minimize Σ_k loss_k(s_k, φ)   subject to   U_k(s_k, φ) − s_{k+1} = 0,   k = 0 … W−2
//
// Each window needs its own start only, so that all can be computed at a time, forward and backward. At a solution the multipliers of the
// constraints are what backpropagation carries from one window to the one before; truncated backpropagation takes them to be 0.
type Shooting struct {
	Unroll Unroll
	// Start is s_0. Windows is W, Parameters the number of φ.
	Start               []float64
	Windows, Parameters int
}

var _ Problem = (*Shooting)(nil)

// Constraints returns the number of constraints: W − 1 times that of a state.
func (s *Shooting) Constraints() int { return (s.Windows - 1) * len(s.Start) }

// Unknowns returns the point (φ, s_1, …, s_{W−1}) at which the constraints hold: the states are those of a run with φ.
func (s *Shooting) Unknowns(phi []float64) []float64 {
	x := append([]float64(nil), phi...)
	from := s.Start
	for k := range s.Windows - 1 {
		end := make([]float64, len(s.Start))
		s.Unroll.Forward(end, k, from, phi)
		x = append(x, end...)
		from = end
	}
	return x
}

// state returns the state at which window k begins.
func (s *Shooting) state(x []float64, k int) []float64 {
	if k == 0 {
		return s.Start
	}
	d := len(s.Start)
	at := s.Parameters + (k-1)*d
	return x[at : at+d]
}

// Value implements Problem.
func (s *Shooting) Value(c, x []float64) float64 {
	d := len(s.Start)
	end := make([]float64, d)
	loss := 0.0
	for k := range s.Windows {
		loss += s.Unroll.Forward(end, k, s.state(x, k), x[:s.Parameters])
		if k == s.Windows-1 {
			break
		}
		for i, next := range s.state(x, k+1) {
			c[k*d+i] = end[i] - next
		}
	}
	return loss
}

// Gradient implements Problem.
func (s *Shooting) Gradient(dst, x, w []float64) {
	d := len(s.Start)
	clear(dst)
	none, first := make([]float64, d), make([]float64, d)
	for k := range s.Windows {
		ds, up := first, none
		if k > 0 {
			ds = s.state(dst, k)
		}
		if k < s.Windows-1 {
			up = w[k*d : k*d+d]
			for i, v := range up {
				s.state(dst, k+1)[i] -= v
			}
		}
		s.Unroll.Backward(ds, dst[:s.Parameters], k, s.state(x, k), x[:s.Parameters], up)
	}
}
