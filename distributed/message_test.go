package distributed

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"learnedopt/lstm"
	"learnedopt/metatrain"
	"learnedopt/optimizer"
)

var (
	someSeen = &metatrain.Seen{Looks: 3, Activity: lstm.Activity{
		Coordinates: 7, Grad2: 0.5, Update2: math.Inf(1), Zero: 1, Small: 2, Clipped: 3, Saturated: [][4]int{{1, 2, 3, 4}, {5, 6, 7, 8}},
	}}
	someUnit = &unitMessage{
		Seed: math.MaxUint64, Unit: metatrain.Unit{MetaStep: 9, Slot: 1, Episode: 4, Length: 40, Step: 15, Window: 5, Seen: someSeen},
		Phi: digest("φ"), From: digest("from"), Base: statePrefix + digest("base"), BaseStep: 5, History: []string{digest("a"), digest("b")},
	}
	someResult = &resultMessage{Object: "state-x", Result: metatrain.Result{
		Gradient: []float64{1, math.Copysign(0, -1), math.NaN()}, Seen: someSeen,
		Window: metatrain.Window{Losses: []float64{1, math.Inf(1)}, Diverged: &optimizer.DivergedError{Step: 3, What: "loss", Coordinate: -1, Value: math.Inf(-1)}},
	}}
	someWork   = &work{Session: "s", ID: "i", Body: []byte("body")}
	someAnswer = &answer{ID: "i", Failed: "no", Missing: true, Body: []byte{0, 1}, Worker: "w", Seconds: 0.25, Replayed: 2}
)

type form interface{ marshal() ([]byte, error) }

// forms are the messages, each with the function that reads it.
var forms = []struct {
	some form
	read func([]byte) (form, error)
}{
	{someUnit, func(b []byte) (form, error) { return readUnit(b) }},
	{someResult, func(b []byte) (form, error) { return readResult(b) }},
	{someWork, func(b []byte) (form, error) { return readWork(b) }},
	{someAnswer, func(b []byte) (form, error) { return readAnswer(b) }},
}

// Every message is the same after it has travelled, and one that was cut or changed anywhere is an error that wraps ErrMessage.
func TestMessages(t *testing.T) {
	for _, f := range forms {
		data, err := f.some.marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.read(data)
		if err != nil {
			t.Fatalf("%T: %v", f.some, err)
		}
		again, err := got.marshal() // NaN is not equal to itself, but its bytes are
		if err != nil || string(again) != string(data) {
			t.Errorf("%T: %+v after travelling, error %v", f.some, got, err)
		}
		if _, isResult := f.some.(*resultMessage); !isResult && !reflect.DeepEqual(got, f.some) {
			t.Errorf("%+v, want %+v", got, f.some)
		}
		for i := range data {
			changed := append([]byte(nil), data...)
			changed[i] ^= 1
			for _, bad := range [][]byte{data[:i], changed} {
				if _, err := f.read(bad); !errors.Is(err, ErrMessage) {
					t.Fatalf("%T, byte %d: error %v", f.some, i, err)
				}
			}
		}
	}
}

// Values out of their bounds are refused, even with the right checksum.
func TestBoundsOfMessages(t *testing.T) {
	change := func(f func(u *unitMessage)) form {
		u := *someUnit
		f(&u)
		return &u
	}
	for word, c := range map[string]struct {
		form
		read func([]byte) (form, error)
	}{
		"the name":   {change(func(u *unitMessage) { u.Base = "../../etc" }), forms[0].read},
		"contradict": {change(func(u *unitMessage) { u.BaseStep = 20 }), forms[0].read},
		"a count":    {change(func(u *unitMessage) { u.Length = -1 }), forms[0].read},
		"65537":      {change(func(u *unitMessage) { u.History = make([]string, maxHistory+1) }), forms[0].read},
		"NaN":        {&answer{ID: "i", Worker: "w", Seconds: math.NaN()}, forms[3].read},
		"5000 bytes": {&resultMessage{Result: metatrain.Result{Window: metatrain.Window{Diverged: &optimizer.DivergedError{What: strings.Repeat("x", 5000)}}}}, forms[1].read},
	} {
		data, err := c.marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.read(data); !errors.Is(err, ErrMessage) || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: error %v", word, err)
		}
	}
}

// FuzzMessages reads hostile bytes as every message, as an announcement and as what a worker says. What is accepted has the same
// bytes again, or is within its bounds.
func FuzzMessages(f *testing.F) {
	for _, m := range forms {
		data, err := m.some.marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	r := parse(f, trainings["backprop"])
	announcement, err := json.Marshal(job{Protocol: Protocol, Kind: trainingKind, Recipe: &r, Lease: 1e9})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(announcement)
	f.Add([]byte(`{"protocol":2}`))
	f.Add([]byte(`{"protocol":1,"name":"x","slots":2,"jobs":{"a":{"units":3}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, m := range forms {
			got, err := m.read(data)
			if err != nil {
				if !errors.Is(err, ErrMessage) {
					t.Errorf("error %v", err)
				}
				continue
			}
			if again, err := got.marshal(); err != nil || string(again) != string(data) {
				t.Errorf("%T: other bytes, error %v", got, err)
			}
		}
		var refused *RefusedError
		if j, err := readJob(data); err == nil && j.Recipe.Validate() != nil {
			t.Error("an invalid recipe is accepted")
		} else if err != nil && !errors.Is(err, ErrMessage) && !errors.As(err, &refused) {
			t.Errorf("error %v", err)
		}
		if p, err := readPresence(data); err == nil && (!validName(p.Name) || p.Slots > maxSlots) {
			t.Errorf("%+v is accepted", p)
		}
	})
}
