package saved_test

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"

	"learnedopt/internal/saved"
)

type inner struct {
	Rate  float64
	Steps int
}

type schedule interface{ at(int) float64 }

type constant float64

func (c constant) at(int) float64 { return float64(c) }

type cosine struct{ Steps int }

func (c *cosine) at(int) float64 { return 0 }

// filled has defaults as lstm.Config does.
type filled struct{ Size int }

func (f filled) WithDefaults() filled {
	if f.Size == 0 {
		f.Size = 20
	}
	return f
}

// Closed defines its settings by a method Definition.
type Closed struct{ secret float64 }

func (c *Closed) Definition() any { return inner{Rate: c.secret} }

// embedding has the method Definition of Closed, which does not know the field Gain.
type embedding struct {
	*Closed
	Gain float64
}

type hidden struct{ Rate float64 }

// everything has a field of each kind.
type everything struct {
	hidden
	Flag     bool
	Count    int8
	Size     uint16
	Rate     float32
	Wave     complex64
	Text     string
	Betas    [2]float64
	Inner    inner
	Pointer  *inner
	Number   *float64
	By       schedule
	Any      any
	List     []inner
	Weights  []float32
	Map      map[string]int
	Keyed    map[inner]*inner
	Defaults filled
	Closed   *Closed
	Nested   embedding
	OnEvent  func()
	Stream   chan int
	Address  uintptr
	private  int
}

func full() everything {
	return everything{
		hidden: hidden{0.5}, Flag: true, Count: -3, Size: 7, Rate: 0.1, Wave: 2i, Text: "a\nb", Betas: [2]float64{0, 0.999}, Inner: inner{1e-300, 2},
		Pointer: &inner{math.Pi, 0}, Number: new(0.0), By: constant(0), Any: []any{1, "x", nil}, List: []inner{{}, {Steps: 4}},
		Weights: make([]float32, 1000), Map: map[string]int{"b": 0, "a": 1, "c": 2}, Keyed: map[inner]*inner{{1, 2}: {3, 4}, {0, 1}: nil},
		Closed: &Closed{0.25}, Nested: embedding{&Closed{0.75}, 2}, OnEvent: func() {}, Stream: make(chan int), Address: 77, private: 9,
	}
}

// The whole text is compared, so that nothing else can be in it, such as addresses.
const fullText = `rule = saved_test.everything
rule.hidden.Rate = 0.5
rule.Flag = true
rule.Count = -3
rule.Size = 7
rule.Rate = 0.1
rule.Wave = (0+2i)
rule.Text = "a\nb"
rule.Betas[1] = 0.999
rule.Inner.Rate = 1e-300
rule.Inner.Steps = 2
rule.Pointer = set
rule.Pointer.Rate = 3.141592653589793
rule.Number = set
rule.By = saved_test.constant 0
rule.Any = []interface {}
rule.Any.len = 3
rule.Any[0] = int 1
rule.Any[1] = string "x"
rule.List.len = 2
rule.List[1].Steps = 4
rule.Weights = 1000 elements, checksum (of 1000 zeros)
rule.Map["a"] = there
rule.Map["a"] = 1
rule.Map["b"] = there
rule.Map["c"] = there
rule.Map["c"] = 2
rule.Keyed[.Rate: 1, .Steps: 2] = there
rule.Keyed[.Rate: 1, .Steps: 2] = set
rule.Keyed[.Rate: 1, .Steps: 2].Rate = 3
rule.Keyed[.Rate: 1, .Steps: 2].Steps = 4
rule.Keyed[.Steps: 1] = there
rule.Defaults.Size = 20
rule.Closed.Rate = 0.25
rule.Nested.Closed.Rate = 0.75
rule.Nested.Gain = 2
`

func TestDefine(t *testing.T) {
	got := saved.Define("rule", full())
	want := strings.ReplaceAll(fullText, "(of 1000 zeros)", zeros(1000))
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for range 20 {
		if again := saved.Define("rule", full()); again != got {
			t.Fatalf("another time it is\n%s", again)
		}
	}
	if text := saved.Define("rule", nil); text != "" {
		t.Errorf("nil is %q", text)
	}
}

// zeros is FNV-1a of n lines "0".
func zeros(n int) string {
	h := uint64(14695981039346656037)
	for range n {
		for _, b := range []byte("0\n") {
			h = (h ^ uint64(b)) * 1099511628211
		}
	}
	return fmt.Sprintf("%016x", h)
}

// TestDefineInAnotherProcess expects the same text in a process with other addresses and another order of maps.
func TestDefineInAnotherProcess(t *testing.T) {
	if os.Getenv("DEFINE") != "" {
		fmt.Printf("<%s>", saved.Define("rule", full()))
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestDefineInAnotherProcess$")
	cmd.Env = append(os.Environ(), "DEFINE=1")
	out, err := cmd.CombinedOutput()
	if want := "<" + saved.Define("rule", full()) + ">"; err != nil || !strings.Contains(string(out), want) {
		t.Errorf("another process says %s, %v; want %s", out, err, want)
	}
}

// Each change gives a difference that names the field and both values.
func TestDifference(t *testing.T) {
	for want, change := range map[string]func(e *everything){
		"":                                    func(e *everything) { e.OnEvent, e.Stream, e.Address, e.private = nil, nil, 78, 10 },
		"rule.hidden.Rate was 0.5 and is 0.6": func(e *everything) { e.hidden.Rate = 0.6 },
		"rule.Flag was true and is not set":   func(e *everything) { e.Flag = false },
		"rule.Count was -3 and is -4":         func(e *everything) { e.Count-- },
		"rule.Size was 7 and is 8":            func(e *everything) { e.Size++ },
		"rule.Rate was 0.1 and is 0.10000001": func(e *everything) { e.Rate = math.Nextafter32(0.1, 1) },
		"rule.Wave was (0+2i) and is (0-2i)":  func(e *everything) { e.Wave = -2i },
		`rule.Text was "a\nb" and is "a b"`:   func(e *everything) { e.Text = "a b" },
		"rule.Betas[1] was 0.999 and is not set, rule.Betas[0] was not set and is 0.9":           func(e *everything) { e.Betas = [2]float64{0.9, 0} },
		"rule.Inner.Rate was 1e-300 and is -1e-300":                                              func(e *everything) { e.Inner.Rate *= -1 },
		"rule.Pointer.Rate was 3.141592653589793 and is NaN":                                     func(e *everything) { e.Pointer.Rate = math.NaN() },
		"rule.Pointer was set and is not set, rule.Pointer.Rate was":                             func(e *everything) { e.Pointer = nil },
		"rule.Number was set and is not set":                                                     func(e *everything) { e.Number = nil },
		"rule.By was saved_test.constant 0 and is saved_test.constant 1":                         func(e *everything) { e.By = constant(1) },
		"rule.By was saved_test.constant 0 and is *saved_test.cosine, rule.By.Steps was not set": func(e *everything) { e.By = &cosine{3} },
		"rule.By was saved_test.constant 0 and is not set":                                       func(e *everything) { e.By = nil },
		"rule.Any[0] was int 1 and is uint8 1":                                                   func(e *everything) { e.Any.([]any)[0] = uint8(1) },
		"rule.List.len was 2 and is 3":                                                           func(e *everything) { e.List = append(e.List, inner{}) },
		"rule.List[1].Steps was 4 and is not set, rule.List[0].Steps was not set and is 4":       func(e *everything) { e.List[0], e.List[1] = e.List[1], e.List[0] },
		"rule.Weights was 1000 elements, checksum ":                                              func(e *everything) { e.Weights[999] = 1e-45 },
		`rule.Map["b"] was there and is there, 3`:                                                func(e *everything) { e.Map["b"] = 3 },
		`rule.Map["b"] was there and is not set`:                                                 func(e *everything) { delete(e.Map, "b") },
		"rule.Keyed[.Steps: 1] was there and is there, set":                                      func(e *everything) { e.Keyed[inner{0, 1}] = &inner{} },
		"rule.Defaults.Size was 20 and is 21":                                                    func(e *everything) { e.Defaults.Size = 21 },
		"rule.Closed.Rate was 0.25 and is 0.5":                                                   func(e *everything) { e.Closed.secret = 0.5 },
		"rule.Nested.Closed.Rate was 0.75 and is 0.5":                                            func(e *everything) { e.Nested.secret = 0.5 },
		"rule.Nested.Gain was 2 and is 3":                                                        func(e *everything) { e.Nested.Gain = 3 },
		", and 1 more differences":                                                               func(e *everything) { e.Flag, e.Count, e.Size, e.Rate = false, 0, 0, 0 },
	} {
		x := full()
		change(&x)
		got := saved.Difference(saved.Define("rule", full()), saved.Define("rule", x))
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("the difference is %q, want %q", got, want)
		}
	}
	// Defaults are the same whether they are written or not.
	x := full()
	if x.Defaults.Size = 20; saved.Define("rule", x) != saved.Define("rule", full()) {
		t.Error("a default that is written is another setting")
	}
}

type chain struct {
	Value float64
	Next  *chain
}

// Definitions are bounded, and a change beyond the bounds of the text still gives a difference.
func TestDefineIsBounded(t *testing.T) {
	ring := &chain{Value: 1}
	ring.Next = ring
	if got, want := saved.Define("rule", ring), "rule = *saved_test.chain\nrule.Value = 1\nrule.Next = set\n"; got != want {
		t.Errorf("a ring is %q, want %q", got, want)
	}
	var long *chain
	for range 100_000 {
		long = &chain{1, long}
	}
	if text := saved.Define("rule", long); len(text) > 40<<10 {
		t.Errorf("a long chain is %d bytes", len(text))
	}
	groups := make([]inner, 5000)
	for i := range groups {
		groups[i] = inner{float64(i), i}
	}
	before := saved.Define("rule", groups)
	groups[4999].Rate = 0
	after := saved.Define("rule", groups)
	if len(before) > 33<<10 || len(after) > 33<<10 {
		t.Errorf("5000 groups are %d bytes", len(before))
	}
	if got := saved.Difference(before, after); !strings.Contains(got, "more lines was checksum ") {
		t.Errorf("the last of 5000 groups: %q", got)
	}
	many := make([][]inner, 300)
	for i := range many {
		many[i] = make([]inner, 10_000)
	}
	if text := saved.Define("rule", many); len(text) > 33<<10 {
		t.Errorf("3,000,000 values are %d bytes", len(text))
	}
	if text := saved.Define("rule", strings.Repeat("x", 1<<20)); len(text) > 100 || text == saved.Define("rule", strings.Repeat("x", 1<<20-1)+"y") {
		t.Errorf("a long text is %q", text)
	}
	// A text from a file cannot control a terminal.
	if got := saved.Difference("rule\x1b[2J = \x07"+strings.Repeat("x", 1000)+"\n", ""); strings.ContainsAny(got, "\x1b\x07") || len(got) > 500 {
		t.Errorf("a hostile definition is told as %q", got)
	}
}
