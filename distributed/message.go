package distributed

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"regexp"

	"learnedopt/internal/saved"
	"learnedopt/lstm"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
)

// Protocol is the version of everything that travels: the names of streams, and the forms of messages. Coordinator and workers
// must have the same.
const Protocol = 1

// Bounds of what a message may hold, beside its size, which the server bounds.
const (
	maxHistory = 1 << 16 // windows to replay
	maxText    = 4096    // bytes of a text
	maxLayers  = 64      // of the network, in Seen
)

// A work is a piece of work. Session is the coordinator's process, to which the answer goes. ID identifies the piece:
// pieces with the same ID have the same answer.
type work struct {
	Session, ID string
	Body        []byte
}

// An answer is the answer to a piece of work: its body, or an error.
type answer struct {
	ID string
	// Failed is the error's text. Missing says that something is not on the server that should be there.
	Failed  string
	Missing bool
	Body    []byte
	// Worker, Seconds and Replayed say who computed it, how long it took, and how many windows had to be computed again.
	Worker   string
	Seconds  float64
	Replayed int
}

// sum is the checksum of all that must be the same in every answer to the same piece.
func (a *answer) sum() string { return digest(a.Failed, string(a.Body)) }

// A unitMessage asks for the result of a unit, or for the state from which it would start.
type unitMessage struct {
	Seed uint64
	metatrain.Unit
	// Phi is the key of φ. It is "" if the state is asked for instead of a result.
	Phi string
	// From is the identity of the state from which the unit starts (see next). A worker that does not hold it makes it: it
	// begins with the object Base, at step BaseStep, or at the beginning if Base is "", and replays the windows of History,
	// each a key of φ.
	From     string
	Base     string
	BaseStep int
	History  []string
}

// A resultMessage is a unit's result, or the name of an object that holds a state.
type resultMessage struct {
	Object string
	metatrain.Result
}

var nameOf = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// validName reports whether a text can be the name of a worker, a session, a key or an object.
func validName(s string) bool { return nameOf.MatchString(s) }

// id identifies the unit. Equal units have equal results.
func (u *unitMessage) id() string {
	return digest("unit", u.From, u.Phi, fmt.Sprint(u.MetaStep, u.Slot, u.Window, u.Seen != nil))
}

// what names the unit in errors.
func (u *unitMessage) what() string {
	return fmt.Sprintf("step %d of episode %d, seed %d", u.Step, u.Episode, u.Seed)
}

// begin is the identity of an episode's state at its beginning, and next of the state after one more window with φ.
func begin(seed uint64, episode, length int) string {
	return digest("episode", fmt.Sprint(seed, episode, length))
}
func next(state, phi string, window int) string {
	return digest("state", state, phi, fmt.Sprint(window))
}

// digest is the first half of the SHA-256 of some texts, in hexadecimal digits.
func digest(texts ...string) string {
	h := sha256.New()
	for _, s := range texts {
		_ = binary.Write(h, binary.LittleEndian, uint64(len(s))) // a hash returns no error
		h.Write([]byte(s))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func digestOf(data []byte) string { return digest(string(data)) }

func (u *unitMessage) marshal() ([]byte, error) {
	w := saved.NewWriter("unit", Protocol)
	for shift := 0; shift < 64; shift += 16 { // an int may have 32 bits
		w.Int(int(u.Seed >> shift & math.MaxUint16))
	}
	for _, n := range []int{u.MetaStep, u.Slot, u.Episode, u.Length, u.Step, u.Window} {
		w.Int(n)
	}
	w.Text(u.Phi)
	w.Text(u.From)
	w.Text(u.Base)
	w.Int(u.BaseStep)
	w.Int(len(u.History))
	for _, key := range u.History {
		w.Text(key)
	}
	writeSeen(w, u.Seen)
	return w.Bytes()
}

func readUnit(data []byte) (*unitMessage, error) {
	r := saved.NewReader(data, "unit", Protocol)
	u := &unitMessage{}
	for shift := 0; shift < 64; shift += 16 {
		u.Seed |= uint64(bounded(r, math.MaxUint16)) << shift
	}
	for _, n := range []*int{&u.MetaStep, &u.Slot, &u.Episode, &u.Length, &u.Step, &u.Window} {
		*n = bounded(r, math.MaxInt32)
	}
	u.Phi, u.From, u.Base = name(r, true), name(r, false), name(r, true)
	u.BaseStep = bounded(r, math.MaxInt32)
	for range bounded(r, maxHistory) {
		if r.Err() != nil {
			break
		}
		u.History = append(u.History, name(r, false))
	}
	u.Seen = readSeen(r)
	if u.Base == "" && u.BaseStep != 0 || u.BaseStep > u.Step || u.Step > u.Length {
		r.Fail(errors.New("steps that contradict each other"))
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("%w: a unit: %w", ErrMessage, err)
	}
	return u, nil
}

func (m *resultMessage) marshal() ([]byte, error) {
	w := saved.NewWriter("result", Protocol)
	w.Text(m.Object)
	w.Floats64(m.Gradient)
	w.Floats64(m.Window.Losses)
	d := m.Window.Diverged
	w.Int(flag(d != nil))
	if d != nil {
		w.Int(d.Step)
		w.Text(d.What)
		w.Int(d.Coordinate + 1)
		w.Float(d.Value)
	}
	writeSeen(w, m.Seen)
	return w.Bytes()
}

func readResult(data []byte) (*resultMessage, error) {
	r := saved.NewReader(data, "result", Protocol)
	a := &resultMessage{Object: name(r, true)}
	a.Gradient, a.Window.Losses = r.SomeFloats64(), r.SomeFloats64()
	if bounded(r, 1) == 1 {
		a.Window.Diverged = &optimizer.DivergedError{Step: bounded(r, math.MaxInt32), What: text(r), Coordinate: bounded(r, math.MaxInt32) - 1, Value: r.Float()}
	}
	a.Seen = readSeen(r)
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("%w: a result: %w", ErrMessage, err)
	}
	return a, nil
}

func (p *work) marshal() ([]byte, error) {
	w := saved.NewWriter("work", Protocol)
	w.Text(p.Session)
	w.Text(p.ID)
	w.Text(string(p.Body))
	return w.Bytes()
}

func readWork(data []byte) (*work, error) {
	r := saved.NewReader(data, "work", Protocol)
	p := &work{Session: name(r, false), ID: name(r, false), Body: []byte(r.Text())}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("%w: a piece of work: %w", ErrMessage, err)
	}
	return p, nil
}

func (a *answer) marshal() ([]byte, error) {
	w := saved.NewWriter("answer", Protocol)
	w.Text(a.ID)
	w.Text(a.Failed[:min(len(a.Failed), maxText)])
	w.Int(flag(a.Missing))
	w.Text(string(a.Body))
	w.Text(a.Worker)
	w.Float(a.Seconds)
	w.Int(a.Replayed)
	return w.Bytes()
}

func readAnswer(data []byte) (*answer, error) {
	r := saved.NewReader(data, "answer", Protocol)
	a := &answer{ID: name(r, false), Failed: text(r), Missing: bounded(r, 1) == 1, Body: []byte(r.Text()), Worker: name(r, false), Seconds: r.Float(), Replayed: bounded(r, math.MaxInt32)}
	if !(a.Seconds >= 0 && a.Seconds < math.MaxInt32) {
		r.Fail(fmt.Errorf("%v seconds", a.Seconds))
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("%w: an answer: %w", ErrMessage, err)
	}
	return a, nil
}

func writeSeen(w *saved.Writer, s *metatrain.Seen) {
	w.Int(flag(s != nil))
	if s == nil {
		return
	}
	a := s.Activity
	for _, n := range []int{s.Looks, a.Coordinates, a.Zero, a.Small, a.Clipped, len(a.Saturated)} {
		w.Int(n)
	}
	w.Float(a.Grad2)
	w.Float(a.Update2)
	for _, layer := range a.Saturated {
		for _, n := range layer {
			w.Int(n)
		}
	}
}

func readSeen(r *saved.Reader) *metatrain.Seen {
	if bounded(r, 1) == 0 {
		return nil
	}
	s := &metatrain.Seen{Looks: r.Int()}
	a := &s.Activity
	a.Coordinates, a.Zero, a.Small, a.Clipped = r.Int(), r.Int(), r.Int(), r.Int()
	layers := bounded(r, maxLayers)
	a.Grad2, a.Update2 = r.Float(), r.Float()
	for range layers {
		a.Saturated = append(a.Saturated, [4]int{r.Int(), r.Int(), r.Int(), r.Int()})
	}
	return s
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// bounded reads a count of at most most.
func bounded(r *saved.Reader, most int) int {
	n := r.Int()
	if n > most {
		r.Fail(fmt.Errorf("a count of %d, at most %d", n, most))
		return 0
	}
	return n
}

// name reads a name, which may be empty if empty is set.
func name(r *saved.Reader, empty bool) string {
	s := r.Text()
	if r.Err() == nil && !validName(s) && (s != "" || !empty) {
		r.Fail(fmt.Errorf("the name %.80q", s))
	}
	return s
}

func text(r *saved.Reader) string {
	s := r.Text()
	if len(s) > maxText {
		r.Fail(fmt.Errorf("a text of %d bytes", len(s)))
		return ""
	}
	return s
}

// writePhi is the form in which φ is kept on the server; its digest is its key.
func writePhi(phi []float32) []byte {
	w := saved.NewWriter("phi", Protocol)
	w.Floats32(phi)
	data, _ := w.Bytes() // only states have errors
	return data
}

// readPhi returns the network with the φ in data, of the shape of net.
func readPhi(net *lstm.Network, data []byte) (*lstm.Network, error) {
	r := saved.NewReader(data, "phi", Protocol)
	phi := r.Floats32(net.Size())
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("%w: φ: %w", ErrMessage, err)
	}
	if len(phi) != net.Size() {
		return nil, fmt.Errorf("%w: φ of %d numbers, want %d", ErrMessage, len(phi), net.Size())
	}
	return net.With(phi), nil
}
