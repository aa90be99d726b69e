package optimizer

// A Move tells the caller of Update what to do with the parameters. It is a set of flags. The zero value is the
// ordinary move: the caller adds the update to θ_t.
type Move uint8

const (
	// Keep tells the caller to copy θ_t, so that a later Return can go back to it.
	Keep Move = 1 << iota
	// Return tells the caller to go back to the θ that was kept last, instead of adding the update. With
	// both flags, that is the current θ_t. The copy is used up: a state asks for another Keep before its
	// next Return.
	Return
)

// Apply makes a move on parameters that lie in one slice or several: it copies θ to kept, and then adds the update to
// θ or copies kept back to θ. update and kept hold the coordinates of all slices, one after the other. kept is written
// only for Keep and read only for Return.
func Apply[F float32 | float64](move Move, theta [][]F, update []float32, kept []F) {
	at := 0
	for _, x := range theta {
		end := at + len(x)
		if move&Keep != 0 {
			copy(kept[at:end], x)
		}
		if move&Return != 0 {
			copy(x, kept[at:end])
		} else {
			for i, u := range update[at:end] {
				x[i] += F(u)
			}
		}
		at = end
	}
}
