package policy

import (
	"math"
	"math/rand/v2"

	"learnedopt/internal/precondition"
)

// The constants of CartPole in SI units: Barto, Sutton and Anderson 1983, Neuronlike adaptive elements that can solve difficult learning control
// problems, appendix, without friction, as in CartPole-v1 of Gym.
const (
	gravity    = 9.8
	cartMass   = 1.0
	poleMass   = 0.1
	halfLength = 0.5 // of the pole
	pushForce  = 10.0
	timeStep   = 0.02
	// An episode ends outside these bounds: metres from the middle, and 12 degrees in radians.
	trackLimit = 2.4
	angleLimit = 12 * 2 * math.Pi / 360
	// cartPoleSteps is the limit of time of CartPole-v1.
	cartPoleSteps = 500
)

// CartPole is a cart on a track with a pole on it that wants to fall. Each step pushes the cart to the left (action 0) or to the right (action
// 1) and earns 1. An episode is terminated when the cart leaves the track or the pole leans by more than 12 degrees, and truncated after 500
// steps. Its return is the number of its steps. Observations are the four numbers of the state.
type CartPole struct {
	// State is the position x in metres, its velocity, the angle ϑ in radians from upright, and its velocity.
	State [4]float64
	// Limit is the number of steps after which an episode is truncated; 0 means 500.
	Limit int

	steps int
}

var _ Environment = (*CartPole)(nil)

// Reset implements Environment. Each number of the state is uniform on [−0.05, 0.05).
func (c *CartPole) Reset(observation []float32, rng *rand.Rand) {
	precondition.Length("policy", "observation", observation, len(c.State))
	for i := range c.State {
		c.State[i] = 0.1*rng.Float64() - 0.05
	}
	c.steps = 0
	c.observe(observation)
}

func (c *CartPole) observe(observation []float32) {
	for i, v := range c.State {
		observation[i] = float32(v)
	}
}

// Step implements Environment.
func (c *CartPole) Step(observation []float32, action int) (reward float64, status Status) {
	precondition.Length("policy", "observation", observation, len(c.State))
	if action != 0 && action != 1 {
		panic(errAction)
	}
	stands := c.Push(action == 1)
	c.observe(observation)
	limit := c.Limit
	if limit == 0 {
		limit = cartPoleSteps
	}
	switch c.steps++; {
	case !stands:
		return 1, Terminated
	case c.steps >= limit:
		return 1, Truncated
	}
	return 1, Running
}

// Push moves the state by one step of Euler's method under a force of 10 newtons to the right or to the left, and says whether the state is within
// the bounds. With the force F, the masses m_c and m_p, their sum m and the pole's half length l,
//
//	ϑ̈ = (g sin ϑ − cos ϑ·a) / (l (4/3 − m_p cos²ϑ/m)),   a = (F + m_p l ϑ̇² sin ϑ)/m,   ẍ = a − m_p l ϑ̈ cos ϑ/m
func (c *CartPole) Push(right bool) (stands bool) {
	force := -pushForce
	if right {
		force = pushForce
	}
	s := &c.State
	sin, cos := math.Sincos(s[2])
	a := (force + poleMass*halfLength*s[3]*s[3]*sin) / (cartMass + poleMass)
	turn := (gravity*sin - cos*a) / (halfLength * (4.0/3 - poleMass*cos*cos/(cartMass+poleMass)))
	move := a - poleMass*halfLength*turn*cos/(cartMass+poleMass)
	s[0] += timeStep * s[1]
	s[1] += timeStep * move
	s[2] += timeStep * s[3]
	s[3] += timeStep * turn
	return math.Abs(s[0]) <= trackLimit && math.Abs(s[2]) <= angleLimit
}
