package optimizer

// A Move is what a state wants done with the parameters; flags combine. The zero value is the ordinary move:
// the caller adds the update to θ_t.
type Move uint8

const (
	// Keep a copy of θ_t: a later Return goes back to it.
	Keep Move = 1 << iota
	// Return to the θ kept last, which may be the one just kept, in place of adding the
	// update. The copy is then dropped: before another Return there is another Keep.
	Return
)

// Apply makes a move on parameters in one slice or several: it copies θ to kept, adds the update to θ, or copies kept back
// to θ. update and kept hold the coordinates of all slices, one after the other; kept is read and written only as
// the move says.
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
