package htmlreport

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"learnedopt/compare"
)

// A page can be made from any log, any cells.jsonl and any manifest.
func FuzzLines(f *testing.F) {
	t := &testing.T{}
	for _, seed := range []string{
		startLine(1), divergedLine(t, 3), endLine, validationLine(t, 5, 1), `{"event":"episode","meta_step":1,"mean_loss":null}`, sweepText(t),
		smallRecord("mlp", compare.Learned), smallRecord("adam", compare.Baseline), smallRecord("odd", "odd"),
		`{"event":"validation","valid":{"mean_loss":1},"diagnostics":{"a":{"first":[{"x":1}]},".first.":2,"b.first.c":[[]]}}`,
	} {
		f.Add([]byte(seed))
	}
	partner := []byte(smallRecord("partner", compare.Learned))
	f.Fuzz(func(t *testing.T, data []byte) {
		log := newRunLog()
		m, _ := readManifest(data) // after an error m is empty
		sweep := newSweepLog(m)
		sweep.add(partner)
		for _, line := range bytes.Split(data, []byte("\n")) {
			log.add(line)
			sweep.add(line)
		}
		log.flush()
		for i := range sweep.sweep.Cells {
			sweep.compare(i)
		}
		sweep.order()
		s := &Source{Kind: "sweep", Summary: append(sweep.sweep.findings(), runFindings(&log.run, nil, "")...), Run: &log.run, Sweep: &sweep.sweep, Problems: log.problems.list}
		page, err := json.Marshal(Page{Sources: []*Source{s}})
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsAny(page, "<>&\u2028\u2029") || len(page) > 8<<20 {
			t.Errorf("%d bytes of data, which can end their element", len(page))
		}
	})
}

// smallRecord is a line of cells.jsonl with two instances.
func smallRecord(name, kind string) string {
	return fmt.Sprintf(`{"key":"k","cell":{"units":"5"},"steps":9,"runs":2,"seed":1,"rule":{"name":%q,"kind":%q,"learning_rate":0.1},"mean_losses":[1,2],"final_losses":[1,null],"diverged":1,`+
		`"diverged_at":["x"],"curve_steps":[0,9],"curve":[2,1],"curve_ci95":[[1,1],[3,3]],"reach":[2,1],"reach_every":3}`, name, kind)
}
