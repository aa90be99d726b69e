package reproduce

import "learnedopt/versus"

// A Listener hears what happens in a reproduction, one event after another; nil hears nothing.
type Listener interface {
	OnEvent(Event)
}

// An Event is one of the types of this file.
type Event interface{ event() }

// FigureStarted begins the comparison of a figure on Task, a canonical name. It is number Index, from 0, of Of
// comparisons of the figure.
type FigureStarted struct {
	Figure    Figure
	Task      string
	Index, Of int
}

// RowStarted begins a row of the table. It is number Index, from 0, of Of rows.
type RowStarted struct {
	Row       string
	Index, Of int
}

// Comparing is an event of the comparison that was begun last. A comparison whose answers are in the cache has none.
type Comparing struct{ versus.Event }

// Damaged says that a file of the cache cannot be read, and that its answer is computed again.
type Damaged struct {
	Path string
	Err  error
}

func (FigureStarted) event() {}
func (RowStarted) event()    {}
func (Comparing) event()     {}
func (Damaged) event()       {}

func tell(l Listener, e Event) {
	if l != nil {
		l.OnEvent(e)
	}
}

// forward passes the events of a comparison on.
type forward struct{ to Listener }

// Hear implements versus.Listener.
func (f forward) OnEvent(e versus.Event) { tell(f.to, Comparing{e}) }
