package policy_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"learnedopt/policy"
)

// Trajectories are those that testdata/cartpole.py computes from the equations of motion.
func TestCartPoleTrajectories(t *testing.T) {
	data, err := os.ReadFile("testdata/cartpole.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Start   [4]float64
		Actions []int
		States  [][4]float64
		Stands  bool
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	fallen, steps := 0, 0
	for k, c := range cases {
		cart := policy.CartPole{State: c.Start}
		observation := make([]float32, 4)
		for i, action := range c.Actions {
			reward, status := cart.Step(observation, action)
			for j, want := range c.States[i] {
				// Errors grow by at most e^(λt) with λ = √(g/(4l/3)) < 4 a second: from 10⁻¹⁶ to 10⁻¹² in 2.4 seconds.
				if math.Abs(cart.State[j]-want) > 1e-11 {
					t.Fatalf("case %d, step %d: state %v, want %v", k, i, cart.State, c.States[i])
				}
				if observation[j] != float32(cart.State[j]) {
					t.Fatalf("case %d, step %d: observation %v of state %v", k, i, observation, cart.State)
				}
			}
			want := policy.Running
			if i == len(c.Actions)-1 && !c.Stands {
				want = policy.Terminated
				fallen++
			}
			if reward != 1 || status != want {
				t.Fatalf("case %d, step %d: reward %v and status %v, want 1 and %v", k, i, reward, status, want)
			}
			steps++
		}
	}
	if fallen == 0 || fallen == len(cases) || steps < 150 {
		t.Errorf("%d of %d poles fall, in %d steps: the cases show too little", fallen, len(cases), steps)
	}
}

// The published values of one step from rest: upright, a push of 10 N gives ẍ = F/m·(4/3)/(4/3 − m_p/m) and ϑ̈ = −F/m/(l(4/3 − m_p/m)). 1.1 is the
// mass and 1/11 the pole's share of it.
func TestCartPoleFromRest(t *testing.T) {
	c := policy.CartPole{}
	if !c.Push(true) {
		t.Error("one push ends the episode")
	}
	share := 4.0/3 - 1.0/11
	want := [4]float64{0, 0.02 * 10 / 1.1 * (4.0 / 3) / share, 0, -0.02 * 10 / 1.1 / (0.5 * share)}
	for i, w := range want {
		if math.Abs(c.State[i]-w) > 1e-14 {
			t.Errorf("state %v, want %v", c.State, want)
		}
	}
	left := policy.CartPole{}
	left.Push(false)
	for i := range want {
		if left.State[i] != -c.State[i] {
			t.Errorf("a push to the left gives %v, to the right %v", left.State, c.State)
		}
	}
}

// The bounds are 2.4 metres and 12 degrees, and the limit of time is 500 steps.
func TestCartPoleEnds(t *testing.T) {
	const degree = math.Pi / 180
	for _, c := range []struct {
		state [4]float64
		want  policy.Status
	}{
		{[4]float64{2.39}, policy.Running}, {[4]float64{2.41}, policy.Terminated}, {[4]float64{-2.39}, policy.Running}, {[4]float64{-2.41}, policy.Terminated},
		{[4]float64{2: 11.9 * degree}, policy.Running}, {[4]float64{2: 12.1 * degree}, policy.Terminated}, {[4]float64{2: -11.9 * degree}, policy.Running}, {[4]float64{2: -12.1 * degree}, policy.Terminated},
	} {
		cart := policy.CartPole{State: c.state}
		if _, got := cart.Step(make([]float32, 4), 1); got != c.want {
			t.Errorf("from %v: status %v, want %v", c.state, got, c.want)
		}
	}
	// Leaning on the velocity of the pole and a little on the cart's balances it for ever.
	var cart policy.CartPole
	o := make([]float32, 4)
	for episode := range uint64(2) { // Reset begins to count anew
		cart.Reset(o, rand.New(rand.NewPCG(episode, 1)))
		for _, v := range cart.State {
			if !(math.Abs(v) <= 0.05) || v == 0 {
				t.Errorf("starts at %v", cart.State)
			}
		}
		steps, status := 0, policy.Running
		for status == policy.Running {
			action := 0
			if o[2]+0.3*o[3]+0.02*o[0]+0.05*o[1] > 0 {
				action = 1
			}
			_, status = cart.Step(o, action)
			steps++
		}
		if steps != 500 || status != policy.Truncated {
			t.Errorf("episode %d ends after %d steps with status %v, want 500 and a limit of time", episode, steps, status)
		}
	}
	cart = policy.CartPole{Limit: 3}
	cart.Reset(o, rand.New(rand.NewPCG(1, 1)))
	for i, want := range []policy.Status{policy.Running, policy.Running, policy.Truncated} {
		if _, got := cart.Step(o, i%2); got != want {
			t.Errorf("limit 3, step %d: status %v", i, got)
		}
	}
}
