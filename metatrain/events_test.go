package metatrain

import (
	"encoding/json"
	"math"
	"testing"

	"learnedopt/optimizer"
)

// The event of a divergence contains a non-finite number, which plain JSON cannot hold.
func TestEventOfDivergenceIsJSON(t *testing.T) {
	e := Event{Kind: EventDiverged, MetaStep: 3, Diverged: &optimizer.DivergedError{Step: 7, What: "loss", Coordinate: -1, Value: math.Inf(1)}}
	data, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"event":"diverged","meta_step":3,"seconds":0,"episode":0,"diverged":{"step":7,"what":"loss","coordinate":-1,"value":null}}`
	if string(data) != want {
		t.Errorf("got  %s\nwant %s", data, want)
	}
	var back Event
	if err := json.Unmarshal(data, &back); err != nil || back.Diverged == nil || back.Diverged.Step != 7 {
		t.Errorf("read back %+v, %v", back.Diverged, err)
	}
}
