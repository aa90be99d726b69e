package metaopt_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"learnedopt/lstm"
	"learnedopt/metaopt"
	"learnedopt/optimizer"
	"learnedopt/tasks"
)

// bfloat16 rounds x to the nearest bfloat16, ties to even.
func bfloat16(x float32) float32 {
	bits := math.Float32bits(x)
	return math.Float32frombits((bits + 0x7fff + bits>>16&1) &^ 0xffff)
}

// float16 rounds x to the nearest IEEE half, ties to even; beyond 65,504 to infinity.
func float16(x float32) float32 {
	bits := math.Float32bits(x)
	switch a := bits &^ (1 << 31); {
	case a >= 0x477ff000:
		return math.Float32frombits(bits&(1<<31) | 0x7f800000)
	case a < 0x38800000: // subnormal: multiples of 2⁻²⁴
		return float32(math.RoundToEven(float64(x)*0x1p24) * 0x1p-24)
	}
	return math.Float32frombits((bits + 0xfff + bits>>13&1) &^ 0x1fff)
}

// halfState is a network whose state is rounded after every step; RNNProp's moving averages are rounded only if all is set.
type halfState struct {
	net   *lstm.Network
	round func(float32) float32
	all   bool
}

func (halfState) Needs() optimizer.Needs { return optimizer.Needs{} }
func (h halfState) Start(layout optimizer.Layout) optimizer.State {
	return &halfStateState{h, h.net.NewState(layout.Len())}
}

type halfStateState struct {
	halfState
	state *lstm.State
}

func (s *halfStateState) Update(dst []float32, p optimizer.Point) (optimizer.Move, error) {
	s.state.Update(dst, optimizer.Point{Grad: p.Grad})
	data, err := s.state.MarshalBinary()
	if err != nil {
		panic(err)
	}
	rounded := data[40:]
	if cfg := s.net.Config(); !s.all {
		rounded = rounded[:4*2*cfg.Hidden*cfg.Layers*len(p.Grad)]
	}
	for ; len(rounded) > 0; rounded = rounded[4:] {
		x := math.Float32frombits(binary.LittleEndian.Uint32(rounded))
		binary.LittleEndian.PutUint32(rounded, math.Float32bits(s.round(x)))
	}
	if err := s.state.UnmarshalBinary(data); err != nil {
		panic(err)
	}
	return 0, nil
}

// BenchmarkHalfState reports the effect of states in half precision on losses: the mean loss, and the mean of the last
// five losses, each divided by the value with a float32 state, as geometric means over instances. docs/using.md has
// the figures.
func BenchmarkHalfState(b *testing.B) {
	for _, c := range []struct {
		name, task string
		options    tasks.Options
		runs       int
	}{
		{"quadratic", "quadratic", tasks.Options{}, 6},
		{"mlp", "mnist", tasks.Options{Units: 20, Activation: "relu"}, 2},
	} {
		family, err := tasks.New(c.task, c.options)
		if err != nil {
			b.Logf("%s: %v", c.name, err)
			continue
		}
		opt, err := metaopt.Pretrained(c.name)
		if err != nil {
			b.Fatal(err)
		}
		for _, steps := range []int{100, 1000} {
			runs := c.runs
			if steps > 100 && c.task == "mnist" {
				runs = 1
			}
			run := func(rule optimizer.Rule, instance int) (mean, last float64) {
				p, err := family.Sample(newRand(uint64(instance)))
				if err != nil {
					b.Fatal(err)
				}
				out, err := optimizer.Run(b.Context(), rule, p, steps)
				if err != nil {
					b.Fatal(err)
				}
				if out.Diverged != nil {
					return math.Inf(1), math.Inf(1)
				}
				for t, loss := range out.Losses {
					mean += loss / float64(steps+1)
					if t > steps-5 {
						last += loss / 5
					}
				}
				return mean, last
			}
			for name, h := range map[string]halfState{
				"float16":          {opt.Network, float16, true},
				"bfloat16":         {opt.Network, bfloat16, true},
				"float16_but_m_v":  {opt.Network, float16, false},
				"bfloat16_but_m_v": {opt.Network, bfloat16, false},
			} {
				b.Run(fmt.Sprintf("%s/%d/%s", c.name, steps, name), func(b *testing.B) {
					mean, last := 0.0, 0.0
					for b.Loop() {
						mean, last = 0, 0
						for i := range runs {
							m0, l0 := run(opt.Network, i)
							m1, l1 := run(h, i)
							mean += math.Log(m1/m0) / float64(runs)
							last += math.Log(l1/l0) / float64(runs)
						}
					}
					b.ReportMetric(math.Exp(mean), "mean-loss-ratio")
					b.ReportMetric(math.Exp(last), "final-loss-ratio")
					b.ReportMetric(0, "ns/op")
				})
			}
		}
	}
}

// BenchmarkHalfConversion measures the cost of rounding and widening 80 floats a coordinate once each. A block of
// 32 coordinates would pay it at each step.
func BenchmarkHalfConversion(b *testing.B) {
	wide := make([]float32, 80*32)
	for i := range wide {
		wide[i] = float32(math.Sin(float64(i)))
	}
	half := make([]uint16, len(wide))
	b.Run("bfloat16", func(b *testing.B) {
		for b.Loop() {
			for i, h := range half {
				wide[i] = math.Float32frombits(uint32(h) << 16)
			}
			for i, x := range wide {
				bits := math.Float32bits(x)
				half[i] = uint16((bits + 0x7fff + bits>>16&1) >> 16)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/32, "ns/coordinate-step")
	})
	b.Run("float16", func(b *testing.B) {
		for b.Loop() {
			for i, h := range half {
				wide[i] = math.Float32frombits(uint32(h&0x8000)<<16|uint32(h&0x7fff)<<13) * 0x1p112
			}
			for i, x := range wide {
				bits := math.Float32bits(float16(x) * 0x1p-112)
				half[i] = uint16(bits>>16&0x8000 | bits>>13&0x7fff)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/32, "ns/coordinate-step")
	})
}
