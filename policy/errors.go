package policy

// Panics after a caller's mistake.
const (
	errTheta  = "policy: wrong length of theta"
	errGrad   = "policy: wrong length of grad"
	errVector = "policy: wrong length of a vector"
	errMetric = "policy: a surrogate offers products of the metric Fisher"
	errStep   = "policy: negative step"
	errAction = "policy: no such action"
	errBatch  = "policy: a surrogate has at least one step, with one action and one advantage for each"
)

func check(got, want int, text string) {
	if got != want {
		panic(text)
	}
}
