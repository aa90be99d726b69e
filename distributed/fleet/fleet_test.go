package fleet

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestFile(t *testing.T) {
	want := &Status{Units: 5, Rate: 2.5, Waiting: 3, Redelivered: 1, Workers: []Worker{
		{Name: "a", Process: "process 1 on x", Slots: 2, Units: 3, Rate: 1.5, Seconds: 0.4, Waiting: 1, Held: 2, Replayed: 4},
		{Name: "b", Seconds: 0.5}, {Name: "c"},
	}}
	dir := t.TempDir()
	if err := Write(dir, want); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, File))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read(data)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if got.Slowest() != 1 || (&Status{Workers: want.Workers[2:]}).Slowest() != -1 {
		t.Error("the slowest worker is another one")
	}
}

func TestHostileFiles(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON": "{", "negative": `{"waiting":-1}`, "negative rate": `{"workers":[{"units_per_second":-1}]}`, "negative units": `{"workers":[{"held":-1}]}`,
		"huge": `{"workers":[{"unit_seconds":1e300}]}`, "many": `{"workers":[` + strings.Repeat("{},", maxWorkers) + `{}]}`, "long": strings.Repeat(" ", MaxSize) + "{}",
	} {
		if s, err := Read([]byte(text)); err == nil {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"units":1,"workers":[{"name":"a","unit_seconds":0.5}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Read(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := Read(again)
		if err != nil {
			t.Fatal(err)
		}
		if second, _ := json.Marshal(twice); !bytes.Equal(again, second) {
			t.Errorf("%s, then %s", again, second)
		}
	})
}
