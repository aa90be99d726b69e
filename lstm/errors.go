package lstm

// Panic texts for callers' mistakes.
const (
	errCoordinates = "lstm: number of coordinates is not positive"
	errLength      = "lstm: slice length is not the number of coordinates"
	errShape       = "lstm: networks of different shape"
	errWindow      = "lstm: gradients, seeds and weights of a window differ in number"
	errPhi         = "lstm: meta-gradient length is not the number of parameters"
	errTwice       = "lstm: adjoint of the gradient is offered for one step at a time"
	errContext     = "lstm: contexts of a window differ from the layout of its state; pass State.Context of every step"
	errHalf        = "lstm: a state that keeps float16 has no adjoint; use the network without WithHalfState"
	errParts       = "lstm: the coordinates of a part are not in ascending order"
)
