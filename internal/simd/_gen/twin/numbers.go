package twin

import "math"

// A Number is 32 bits under a name.
type Number struct {
	Name string
	Bits uint32
}

// Float is a float32 as a Number.
func Float(name string, v float32) Number { return Number{name, math.Float32bits(v)} }

// Gates are the numbers of Sigmoid32 and Tanh32 in activations.go.
var Gates = []Number{
	Float("-log2e", -0x1.715476p+0),
	Float("shift", 3<<22+127),
	Float("ln2", 0x1.62e430p-1),
	Float("e5", -0x1.0f9f9cp-7),
	Float("e4", 0x1.573a1ap-5),
	Float("e3", -0x1.555a80p-3),
	Float("e2", 0x1.fffdc6p-2),
	Float("e1", -0x1.fffff6p-1),
	Float("1", 1),
	Float("min", -89),
	Float("least", -87.33), // from here on the sigmoid is a normal number
	Float("max", 87),
	Float("-clamp", -9),
	Float("clamp", 9),
	Float("p4", 1.341983e-08),
	Float("p3", 2.0661268e-05),
	Float("p2", 0.00349899639),
	Float("p1", 0.133839805),
	Float("d4", 7.80473255e-07),
	Float("d3", 0.00032910389),
	Float("d2", 0.0258902075),
	Float("d1", 0.46717302),
}

// Expm1 are the numbers of Expm132 in elu.go.
var Expm1 = []Number{
	Float("low", -25),
	Float("log2e", 0x1.715476p+0),
	Float("shift", 3<<22+127),
	Float("-ln2", -0x1.62e430p-1),
	Float("m6", 0x1.6b7338p-10),
	Float("m5", 0x1.12278ep-7),
	Float("m4", 0x1.555716p-5),
	Float("m3", 0x1.5554b0p-3),
	Float("m2", 0x1.fffffep-2),
	Float("1", 1),
}

// Halves are the numbers of Narrow.
var Halves = []Number{Float("largest", 65504), Float("-largest", -65504)}

// Logs are the numbers of LogAndSign. Those of the logarithm are of Cephes' logf.
var Logs = []Number{
	Float("√½", 0x1.6a09e6p-1),
	Float("1", 1),
	Float("-1", -1),
	{Name: "magnitude", Bits: 1<<31 - 1},
	{Name: "inf", Bits: 0xff << 23},
	Float("l8", 7.0376836292e-2),
	Float("l7", -1.1514610310e-1),
	Float("l6", 1.1676998740e-1),
	Float("l5", -1.2420140846e-1),
	Float("l4", 1.4249322787e-1),
	Float("l3", -1.6668057665e-1),
	Float("l2", 2.0000714765e-1),
	Float("l1", -2.4999993993e-1),
	Float("l0", 3.3333331174e-1),
	Float("-½", -0.5),
	Float("ln2hi", 0.693359375),
	Float("ln2lo", -2.12194440e-4),
}

// Keep and Take are the names of β and 1-β of the averages. MixRows are the directions that Mix combines.
var (
	Keep    = [5]string{"β0", "β1", "β2", "β3", "β4"}
	Take    = [5]string{"1-β0", "1-β1", "1-β2", "1-β3", "1-β4"}
	MixRows = [5]int{0, 1, 2, 4, 5}
)

// Moments are the numbers of momenta.go.
func Moments() []Number {
	numbers := []Number{
		Float("huge", 1e18), Float("-huge", -1e18), Float("tiny", 1e-15),
		Float("1", 1), Float("-1", -1), Float("2", 2), Float("4", 4), {Name: "sign", Bits: 1 << 31},
	}
	for k, beta := range [5]float64{0.9, 0.99, 0.999, 0.95, 0.999} {
		numbers = append(numbers, Float(Keep[k], float32(beta)), Float(Take[k], float32(1-beta)))
	}
	return numbers
}
