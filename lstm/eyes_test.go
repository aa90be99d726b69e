package lstm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"learnedopt/internal/simd"
	"learnedopt/optimizer"
)

// A run is what a state with eyes did: for each step the gradients it read, its updates and contexts. theta stays fixed.
type run struct {
	grads, updates, contexts [][]float32
	theta                    []float32
	total                    int
}

// follow continues a state with the given gradients, all but the last.
func follow(s *State, grads [][]float32, theta []float32, total int) run {
	r := run{grads: grads, theta: theta, total: total}
	for _, g := range grads[:len(grads)-1] {
		u := make([]float32, len(g))
		s.Update(u, optimizer.Point{Grad: g, Theta: theta, Total: total})
		r.updates, r.contexts = append(r.updates, u), append(r.contexts, slices.Clone(s.Context()))
	}
	return r
}

// sameRows fails unless two trajectories have the same bits.
func sameRows(t *testing.T, what string, got, want [][]float32) {
	t.Helper()
	for k := range want {
		for i, w := range want[k] {
			if math.Float32bits(got[k][i]) != math.Float32bits(w) {
				t.Fatalf("%s: step %d, number %d is %v, want %v", what, k, i, got[k][i], w)
			}
		}
	}
}

// pointOf returns parameters θ of usual size.
func pointOf(n int) []float32 {
	rng, theta := rand.New(rand.NewPCG(6, 6)), make([]float32, n)
	for i := range theta {
		theta[i] = float32(0.1 * rng.NormFloat64())
	}
	return theta
}

// TestEyesInFloat32 is TestFloat32AgainstFloat64 for networks with eyes, on four tensors. Both read their own contexts.
// The tolerance is larger, because averages of gradients cancel, and a ratio of two of them is in error by more than its
// last place.
func TestEyesInFloat32(t *testing.T) {
	for _, cfg := range append(sighted, seeing) {
		t.Run(name(cfg), func(t *testing.T) {
			const n, steps, total = 75, 20, 40
			net, c := pair(t, cfg, 3)
			grads := gradients(rand.New(rand.NewPCG(4, 4)), steps+1, n)
			wide, theta := widen(grads), pointOf(n)
			wideTheta := widen([][]float32{theta})[0]

			s, d := net.Start(layoutOf(n)).(*State), &state[float64]{}
			d.init(c, layoutOf(n))
			start, wideStart := s.Clone(), d.clone()
			r := follow(s, grads, theta, total)
			var contexts [][]float64
			for k, g := range wide[:steps] {
				u := make([]float64, n)
				d.update(u, g, wideTheta, total)
				contexts = append(contexts, slices.Clone(d.context))
				compare(t, "update", r.updates[k], u, 2e-5)
				features := min(len(d.context), len(d.parts)*c.contextSize())
				compare(t, "context", r.contexts[k][:features], d.context[:features], 1e-6)
				compare(t, "orthogonal directions", r.contexts[k][features:], d.context[features:], 2e-3)
			}

			dphi, want := make([]float64, c.size), make([]float64, c.size)
			new(Adjoint).Unroll(dphi, start, grads, r.contexts, nil)
			new(adjoint[float64]).run(want, wideStart, wide[:steps], contexts, wide[1:], nil, nil, nil)
			compare(t, "meta-gradient", dphi, want, 2e-5)

			// Two steps back, so that mu is read as well as written.
			mu, dmu := s.Clone(), d.clone()
			mu.Zero()
			clear(dmu.data)
			dg, dgWant := make([]float32, n), make([]float64, n)
			clear(dphi)
			clear(want)
			for k := range 2 {
				new(Adjoint).Step(dphi, s, grads[k], s.Context(), grads[k+1], mu, dg)
				new(adjoint[float64]).run(want, d, wide[k:k+1], [][]float64{d.context}, wide[k+1:k+2], nil, dmu, dgWant)
				compare(t, "meta-gradient of a step", dphi, want, 2e-5)
				compare(t, "adjoint of the gradient", dg, dgWant, 1e-4)
				compare(t, "adjoint of the state", mu.s.data, dmu.data, 1e-4)
			}
		})
	}
}

// mixtures are networks on momenta with the read-out mix, with every context; in short tests with no and with all context.
func mixtures() []Config {
	var all []Config
	for context := range contextEnd {
		if testing.Short() && context > 0 && context < contextEnd-1 {
			continue
		}
		for _, fan := range []bool{false, true} {
			all = append(all, Config{Hidden: 5, Layers: 1, Inputs: Momenta, Readout: Mix, Context: context, FanIn: fan})
		}
	}
	return append(all, Config{Hidden: 5, Layers: 1, Inputs: Momenta, Readout: Mix, Context: contextEnd - 1, FanIn: true, Orthogonal: true})
}

// idle are coordinates of layoutOf(n) that never have a gradient: three of the matrix and the whole bias.
var idle = []int{0, 7, 29, 30, 31, 32, 33, 34}

// TestMixtureIsOdd expects updates of the opposite sign, to the bit, if all gradients have the opposite sign, and no update
// at all where there never was a gradient.
func TestMixtureIsOdd(t *testing.T) {
	const n, steps = 75, 20
	grads := gradients(rand.New(rand.NewPCG(4, 4)), steps+1, n)
	negated := make([][]float32, len(grads))
	for k, g := range grads {
		for _, i := range idle {
			g[i] = 0
		}
		for _, x := range g {
			negated[k] = append(negated[k], -x)
		}
	}
	for _, cfg := range mixtures() {
		t.Run(name(cfg), func(t *testing.T) {
			net, _ := pair(t, cfg, 3)
			r := follow(net.Start(layoutOf(n)).(*State), grads, pointOf(n), 0)
			opposite := follow(net.Start(layoutOf(n)).(*State), negated, pointOf(n), 0)
			for k := range r.contexts {
				features := 4 * net.core.contextSize()
				sameRows(t, "context", [][]float32{opposite.contexts[k][:features]}, [][]float32{r.contexts[k][:features]})
			}
			for k, u := range r.updates {
				for i, x := range u {
					if slices.Contains(idle, i) {
						if x != 0 {
							t.Fatalf("step %d: coordinate %d moves by %v without a gradient", k, i, x)
						}
					} else if x == 0 {
						t.Fatalf("step %d: coordinate %d does not move: the test is blind", k, i)
					}
					if y := opposite.updates[k][i]; y != -x {
						t.Fatalf("step %d: coordinate %d moves by %v, and by %v if gradients have the other sign", k, i, x, y)
					}
				}
			}
		})
	}
}

// TestMixtureComesToRest takes the gradients of some coordinates away after 50 steps. From then on each direction d is
// bounded by a geometric sequence. An average of g decays by β at a step, and the root that divides it by √β' or less: √v
// and √V by √0.999, √v' by √0.95. The factors that make averages unbiased change in favour of rest for g, and by at most
// √c for the root, c the factor at the time. So
//
//	Σ_later |d| ≤ |d|·√c·ρ/(1−ρ),   ρ = β/√β'
//
// Mix leaves out the average with β = 0.999, for which ρ is 0.9995. The weights and E are bounded because all |h| < 1:
// those in Σ|w|+|b| of their column, and E(z) grows with z. The test holds the sum of all later updates to this bound at
// three times.
func TestMixtureComesToRest(t *testing.T) {
	const n, moving, still = 75, 50, 400
	rng := rand.New(rand.NewPCG(4, 4))
	grads := gradients(rng, moving+still+1, n)
	quiet := []int{1, 8, 28, 31, 40, 74}
	for _, g := range grads[moving:] {
		for _, i := range quiet {
			g[i] = 0
		}
	}
	// The rows of directions that have an average, with β and the row of the square's average.
	decays := []struct {
		row, moment, square int
		beta                float64
	}{{1, 0, 4, 0.9}, {2, 1, 4, 0.99}, {3, 0, 3, 0.9}, {4, 0, -1, 0.9}}
	for _, cfg := range mixtures() {
		if cfg.Orthogonal {
			continue // see TestOrthogonalComesToRest
		}
		t.Run(name(cfg), func(t *testing.T) {
			net, _ := pair(t, cfg, 3)
			read := net.core.read
			w, b := net.core.weights(read)
			limit := func(j int) float64 { // of output j of the read-out's map
				sum := math.Abs(float64(b[j]))
				for i := range read.in {
					sum += math.Abs(float64(w[i*read.out+j]))
				}
				return sum
			}
			z := limit(simd.Mixed)
			size := math.Pow(z+math.Sqrt(z*z+1), 2)

			s := net.Start(layoutOf(n)).(*State)
			theta, u := pointOf(n), make([]float32, n)
			bounds, sums, scale := map[int][]float64{}, map[int][]float64{}, make([]float64, n)
			for k := range moving + still {
				if k == moving || k == moving+100 || k == moving+300 {
					corr := s.s.c.tick(k).corrs
					for _, i := range quiet {
						part := s.s.partOfCoordinate(i)
						p := &s.s.parts[part]
						at := func(moment int) float64 {
							return float64(s.s.data[s.s.place(p, s.s.c.state.moments/lanes+moment, i-p.from)]) * float64(corr[moment])
						}
						bound := 0.0
						for _, d := range decays {
							root, rest, square := 0.0, simd.MomentBetas[4], 4
							if d.square >= 0 {
								root, rest, square = math.Sqrt(at(d.square)), simd.MomentBetas[d.square], d.square
							} else {
								root = math.Sqrt(float64(s.s.memories[part].slow) * float64(corr[4])) // V has the same β as v
							}
							rho := d.beta / math.Sqrt(rest)
							bound += limit(d.row) * math.Abs(at(d.moment)) / root * math.Sqrt(float64(corr[square])) * rho / (1 - rho)
						}
						bounds[i], sums[i] = append(bounds[i], size*bound), append(sums[i], 0)
					}
				}
				s.Update(u, optimizer.Point{Grad: grads[k], Theta: theta})
				for _, i := range quiet {
					scale[i] = max(scale[i], float64(s.s.now[s.s.partOfCoordinate(i)].scale))
					for j := range sums[i] {
						sums[i][j] += math.Abs(float64(u[i]))
					}
				}
			}
			for _, i := range quiet {
				for j, sum := range sums[i] {
					if bound := bounds[i][j] * scale[i]; !(sum <= bound) || j < 2 && sum == 0 {
						t.Errorf("coordinate %d moves by %g in all after time %d, bound %g", i, sum, j, bound)
					}
				}
			}
		})
	}
}

// TestOrthogonalComesToRest takes all gradients of two inputs and an output of a matrix away after 30 steps, as where units
// die. Of their momentum O makes something as long as it is above 0.002 of all momenta, which 0.9^t is for 60 steps. The
// other directions of Mix forget more slowly, and come to rest by TestMixtureComesToRest; here the network has none.
func TestOrthogonalComesToRest(t *testing.T) {
	const n, moving, still = 75, 30, 150
	cfg := Config{Hidden: 3, Layers: 1, Inputs: Momenta, Readout: Mix, Orthogonal: true}
	net, _ := pair(t, cfg, 3)
	phi, read := net.Params(), net.core.read
	for j := range simd.Mixed {
		for i := range read.in + 1 {
			phi[read.off+i*read.out+j] = 0
		}
	}
	quiet := func(i int) bool { return i < 30 && (i/5 == 1 || i/5 == 4 || i%5 == 2) } // of the 6×5 matrix
	grads := gradients(rand.New(rand.NewPCG(4, 4)), moving+still, n)
	for _, g := range grads[moving:] {
		for i := range g {
			if quiet(i) {
				g[i] = 0
			}
		}
	}
	s, u := net.With(phi).Start(layoutOf(n)), make([]float32, n)
	largest := [2]float64{} // of quiet and other coordinates
	for k, g := range grads {
		s.Update(u, optimizer.Point{Grad: g, Theta: u})
		if k == moving-1 || k >= moving+100 {
			for i, x := range u[:30] {
				size := math.Abs(float64(x))
				switch {
				case k == moving-1 && size == 0:
					t.Errorf("coordinate %d moves by %v while it has gradients: the test is blind", i, x)
				case k >= moving+100 && quiet(i):
					largest[0] = max(largest[0], size)
				case k >= moving+100:
					largest[1] = max(largest[1], size)
				}
			}
			if slices.ContainsFunc(u[30:], func(x float32) bool { return x != 0 }) {
				t.Fatalf("step %d: what is no matrix moves", k)
			}
		}
	}
	if !(largest[0] < 0.02*largest[1]) {
		t.Errorf("coordinates without gradients for 100 steps move by %g, others by %g", largest[0], largest[1])
	}
}

func (s *state[T]) partOfCoordinate(i int) int {
	for k, p := range s.parts {
		if i < p.from+p.n {
			return k
		}
	}
	panic("no such coordinate")
}

// TestMixtureOfScaledLoss multiplies all gradients by 10⁶ and by 10⁻⁶. The product of each is rounded, averages of 20 of
// them cancel, and 1e-15 is 3·10⁻⁶ of the smallest: 10⁻⁴ of the largest update allows for all this.
func TestMixtureOfScaledLoss(t *testing.T) {
	const n, steps = 75, 20
	grads := gradients(rand.New(rand.NewPCG(4, 4)), steps+1, n)
	for _, cfg := range mixtures() {
		t.Run(name(cfg), func(t *testing.T) {
			net, _ := pair(t, cfg, 3)
			want := follow(net.Start(layoutOf(n)).(*State), grads, pointOf(n), 0)
			for _, factor := range []float32{1e6, 1e-6} {
				multiplied := make([][]float32, len(grads))
				for k, g := range grads {
					for _, x := range g {
						multiplied[k] = append(multiplied[k], factor*x)
					}
				}
				got := follow(net.Start(layoutOf(n)).(*State), multiplied, pointOf(n), 0)
				for k := range want.updates {
					tolerance := 1e-4
					if cfg.Orthogonal {
						tolerance = 2e-3 // the error of gemm.Orthogonalizer in float32
					}
					compare(t, fmt.Sprintf("loss times %g: step %d: update", factor, k), got.updates[k], want.updates[k], tolerance)
					features := net.core.contextSize() - 2
					for part := range 4 {
						at := part * (features + 2)
						compare(t, "context", got.contexts[k][at:at+features], want.contexts[k][at:at+features], 1e-5)
					}
				}
			}
		})
	}
}

// TestSampledEyes goes backwards through the even and the odd coordinates of a state on four tensors. A window's
// meta-gradients add up to that of all coordinates, up to the order of additions. The adjoints of a step's gradients and
// states are those of all coordinates, restricted, bit for bit.
func TestSampledEyes(t *testing.T) {
	const n, steps = 175, 6
	for _, cfg := range append(sighted, seeing) {
		if !cfg.eyes() || cfg.OrthogonalMean { // a mean over a tensor is not one over some of its coordinates
			continue
		}
		t.Run(name(cfg), func(t *testing.T) {
			net, _ := pair(t, cfg, 5)
			grads := gradients(rand.New(rand.NewPCG(4, 4)), steps+4, n)
			s := net.Start(layoutOf(n)).(*State)
			follow(s, grads[steps:], pointOf(n), 50)
			r := follow(s.Clone(), grads[:steps+1], pointOf(n), 50)

			back := func(state *State, of func([]float32) []float32, coordinates []int) (dphi, single []float64, dg []float32, mu *State) {
				dphi, single = make([]float64, net.core.size), make([]float64, net.core.size)
				var rows [][]float32
				for _, g := range r.grads {
					rows = append(rows, of(g))
				}
				var a Adjoint
				contexts := slices.Clone(r.contexts)
				if coordinates != nil {
					for t := range contexts {
						contexts[t] = s.GatherContext(nil, contexts[t], coordinates)
					}
				}
				a.Unroll(dphi, state, rows, contexts, nil)
				mu, dg = state.Clone(), make([]float32, state.Len())
				mu.Zero()
				if cfg.Orthogonal {
					return dphi, single, dg, mu // a part of a matrix cannot be orthogonalized
				}
				for k := range 2 {
					a.Step(single, state, rows[k], contexts[0], rows[k+1], mu, dg)
				}
				return dphi, single, dg, mu
			}
			whole, wholeStep, dg, mu := back(s, func(x []float32) []float32 { return x }, nil)
			sum, sumStep := make([]float64, len(whole)), make([]float64, len(whole))
			for parity := range 2 {
				var coordinates []int
				for i := parity; i < n; i += 2 {
					coordinates = append(coordinates, i)
				}
				restrict := func(x []float32) []float32 {
					var some []float32
					for _, i := range coordinates {
						some = append(some, x[i])
					}
					return some
				}
				part, want := net.NewState(1), net.NewState(1)
				part.Gather(s, coordinates)
				var values []float32 // rows of coordinates, and then the tensors' memories
				all := s.Values()
				for row := range s.rows() {
					values = append(values, restrict(all[row*n:][:n])...)
				}
				values = append(values, all[s.rows()*n:]...)
				sameRows(t, "values", [][]float32{part.Values()}, [][]float32{values})
				dphi, single, partG, partMu := back(part, restrict, coordinates)
				for i := range sum {
					sum[i] += dphi[i]
					sumStep[i] += single[i]
				}
				sameRows(t, "adjoint of the gradient", [][]float32{partG}, [][]float32{restrict(dg)})
				want.Gather(mu, coordinates)
				sameRows(t, "adjoint of the state", [][]float32{partMu.Values()}, [][]float32{want.Values()})
			}
			compare(t, "meta-gradient", sum, whole, 1e-5)
			compare(t, "meta-gradient of a step", sumStep, wholeStep, 1e-5)
		})
	}
}

// TestEyesContinue saves a state after 7 steps, and continues from the data in a state that has seen other gradients.
func TestEyesContinue(t *testing.T) {
	const n, steps, before = 75, 20, 7
	for _, cfg := range append(sighted, seeing) {
		t.Run(name(cfg), func(t *testing.T) {
			net, _ := pair(t, cfg, 5)
			grads, theta := gradients(rand.New(rand.NewPCG(4, 4)), steps+1, n), pointOf(n)
			want := follow(net.Start(layoutOf(n)).(*State), grads, theta, 50)
			s := net.Start(layoutOf(n)).(*State)
			follow(s, grads[:before+1], theta, 50)
			data, err := s.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			fresh := func() *State {
				other := net.Start(layoutOf(n)).(*State)
				follow(other, grads[3:9], theta, 50)
				return other
			}
			bytes, values, copied := fresh(), fresh(), fresh()
			if err := bytes.UnmarshalBinary(data); err != nil {
				t.Fatal(err)
			}
			values.SetValues(s.Steps(), s.Values())
			copied.CopyFrom(s)
			for what, again := range map[string]*State{"bytes": bytes, "values": values, "copy": copied, "clone": s.Clone()} {
				got := follow(again, grads[before:], theta, 50)
				sameRows(t, what+": update", got.updates, want.updates[before:])
				sameRows(t, what+": context", got.contexts, want.contexts[before:])
			}
		})
	}
}

// TestEyesDoNotAllocate counts on tensors with fewer blocks than are spread over cores, and with more.
func TestEyesDoNotAllocate(t *testing.T) {
	const steps = 3
	for _, cfg := range append(sighted, seeing) {
		for _, layout := range []optimizer.Layout{layoutOf(75), layoutOf(600)} {
			t.Run(fmt.Sprint(name(cfg), layout.Len()), func(t *testing.T) {
				n := layout.Len()
				net, _ := pair(t, cfg, 9)
				grads, theta := gradients(rand.New(rand.NewPCG(8, 8)), steps+1, n), pointOf(n)
				s := net.Start(layout).(*State)
				r := follow(s, grads, theta, 0)
				u, point := make([]float32, n), optimizer.Point{Grad: grads[0], Theta: theta}
				var a Adjoint
				dphi, mu, dg := make([]float64, net.core.size), s.Clone(), make([]float32, n)
				mu.Zero()
				for what, f := range map[string]func(){
					"Update": func() { s.Update(u, point) },
					"Unroll": func() { a.Unroll(dphi, s, grads, r.contexts, nil) },
					"Step":   func() { a.Step(dphi, s, grads[0], r.contexts[0], u, mu, dg) },
				} {
					if allocs := testing.AllocsPerRun(5, f); allocs != 0 {
						t.Errorf("%s allocates %v times", what, allocs)
					}
				}
			})
		}
	}
}

// TestEyesOnAnyNumberOfCores runs updates and adjoints on enough blocks that their sums are spread over the cores, too.
func TestEyesOnAnyNumberOfCores(t *testing.T) {
	const steps = 3
	layout := perceptron(8)
	n := layout.Len()
	if blocks(n) < 3*sumGrain {
		t.Fatal("too few blocks: the test is blind")
	}
	net, _ := pair(t, seeing, 7)
	grads, theta := gradients(rand.New(rand.NewPCG(8, 8)), steps+1, n), pointOf(n)
	back := func(procs int) (run, []float64, []float32) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		s := net.Start(layout).(*State)
		start := s.Clone()
		r := follow(s, grads, theta, 9)
		var a Adjoint
		dphi, mu, dg := make([]float64, net.core.size), s.Clone(), make([]float32, n)
		a.Unroll(dphi, start, grads, r.contexts, nil)
		mu.Zero()
		a.Step(dphi, s, grads[0], r.contexts[0], grads[1], mu, dg)
		return r, dphi, dg
	}
	want, wantPhi, wantG := back(1)
	for k, tensor := range layout.Tensors() { // 1/√V of the first step, over all blocks
		sum := 0.0
		for _, g := range grads[0][tensor.From : tensor.From+tensor.Len()] {
			sum += float64(g) * float64(g)
		}
		size := net.core.contextSize()
		if got, v := float64(want.contexts[0][(k+1)*size-2]), 1/math.Sqrt(sum/float64(tensor.Len())); !near(got, v, 1e-6) {
			t.Errorf("tensor %d: 1/√V is %v, want %v", k, got, v)
		}
	}
	for _, procs := range []int{2, 3} {
		got, dphi, dg := back(procs)
		sameRows(t, "update", got.updates, want.updates)
		sameRows(t, "context", got.contexts, want.contexts)
		sameRows(t, "adjoint of the gradient", [][]float32{dg}, [][]float32{wantG})
		if !slices.Equal(dphi, wantPhi) {
			t.Errorf("meta-gradients on %d cores differ", procs)
		}
	}
}
