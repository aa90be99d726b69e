package htmlreport

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"learnedopt/distributed/fleet"
)

// A Source holds what a page shows of one folder.
type Source struct {
	// Kind is "run" or "sweep", or empty if the folder has no file of either.
	Kind string `json:"kind"`
	Name string `json:"name"`
	// State is running, stopped or finished, empty without a Kind.
	State    string    `json:"state,omitempty"`
	Summary  []Finding `json:"summary"`
	Run      *Run      `json:"run,omitempty"`
	Sweep    *Sweep    `json:"sweep,omitempty"`
	Problems []Problem `json:"problems"`
	// More is the number of problems that Problems leaves out.
	More  int    `json:"more_problems"`
	Files []File `json:"files,omitempty"`
}

// A reader follows the files of a folder. It belongs to one goroutine.
type reader struct {
	dir  folder
	name string

	logTail, cellsTail       tail
	resultDoc, sweepDoc      document
	fleetDoc                 document
	log                      *runLog
	sweep                    *sweepLog
	result                   *result
	fleet                    *fleet.Status // nil if there is no file of workers, or one that cannot be read
	resultError, sweepError  error
	logError, cellsError     error
	longLines, longCellLines int
	held                     bool // whether a process holds the folder

	epoch      int          // rises when a page must drop what it shows and load everything again
	version    int          // rises with every change
	comparison int          // rises when the comparison changes
	cells      map[int]bool // the cells that changed since the last message to a page
}

func newReader(dir folder, name string) *reader {
	return &reader{
		dir: dir, name: clean(name, maxName), cells: map[int]bool{}, log: newRunLog(), sweep: newSweepLog(manifest{}),
		logTail: tail{dir: dir, name: logFile}, cellsTail: tail{dir: dir, name: cellsFile},
		resultDoc: document{name: resultFile}, sweepDoc: document{name: sweepFile}, fleetDoc: document{name: fleet.File},
	}
}

// poll reads the changes in the folder. more says that there is more to read without waiting.
func (r *reader) poll() (more bool) {
	if held := r.dir.held(); held != r.held {
		r.held = held
		r.version++
	}
	r.pollManifest()
	more = r.pollLog()
	if r.pollCells() {
		more = true
	}
	r.pollFleet()
	if data, changed, err := r.resultDoc.changed(r.dir); changed || differ(err, r.resultError) {
		r.version++
		r.comparison++
		r.result, r.resultError = nil, err
		if data != nil && err == nil {
			r.result, r.resultError = decodeResult(data)
		} else {
			r.epoch++ // the page must drop the old result
		}
	}
	return more
}

// pollFleet reads the file of the workers if it has changed. It lives as long as its coordinator, so an error is no problem of the
// run: the file is not shown.
func (r *reader) pollFleet() {
	data, changed, err := r.fleetDoc.changed(r.dir)
	if !changed && (err == nil || r.fleet == nil) {
		return
	}
	r.version++
	r.fleet = nil
	if data != nil && err == nil {
		r.fleet, _ = fleet.Read(data)
	}
}

// differ reports whether a read failed with another error than the read before. A document that could not be decoded
// and has not changed since gives no new error, so it does not differ.
func differ(now, before error) bool {
	return now != nil && (before == nil || now.Error() != before.Error())
}

// pollManifest reads sweep.json if it has changed. Then cells.jsonl is read again from its beginning, because other records
// may belong to the new sweep.
func (r *reader) pollManifest() {
	data, changed, err := r.sweepDoc.changed(r.dir)
	if !changed && !differ(err, r.sweepError) {
		return
	}
	var m manifest
	if r.sweepError = err; err == nil {
		m, r.sweepError = readManifest(data)
	}
	r.version++
	r.epoch++
	r.cellsTail.restart(nil)
	r.resetSweep(m)
}

func (r *reader) resetSweep(m manifest) {
	r.sweep, r.longCellLines, r.cells = newSweepLog(m), 0, map[int]bool{}
}

func (r *reader) pollLog() bool {
	n, err := r.logTail.next()
	if differ(err, r.logError) || err == nil && r.logError != nil {
		r.version++
	}
	r.logError = err
	if n.reset {
		r.log, r.longLines = newRunLog(), 0
		r.epoch++
	}
	if halved := r.log.halved; len(n.lines) > 0 || n.reset || n.long > 0 {
		r.version++
		r.longLines += n.long
		for _, line := range n.lines {
			r.log.add(line)
		}
		if r.log.halved != halved {
			r.epoch++
		}
	}
	return n.more && err == nil
}

func (r *reader) pollCells() bool {
	n, err := r.cellsTail.next()
	if differ(err, r.cellsError) || err == nil && r.cellsError != nil {
		r.version++
	}
	r.cellsError = err
	if n.reset {
		r.resetSweep(r.sweep.manifest)
		r.epoch++
	}
	if len(n.lines) > 0 || n.reset || n.long > 0 {
		r.version++
		r.longCellLines += n.long
		changed := map[int]bool{}
		for _, line := range n.lines {
			for _, i := range r.sweep.add(line) {
				changed[i] = true
			}
		}
		for i := range changed {
			r.sweep.compare(i)
			r.cells[i] = true
		}
		r.sweep.order()
	}
	return n.more && err == nil
}

// sweeps reports whether the folder holds a sweep.
func (r *reader) sweeps() bool { return r.cellsTail.info != nil || r.sweepDoc.info != nil }

// source returns the folder as it was at the last poll. It shares memory with the reader.
func (r *reader) source() *Source {
	s := &Source{Name: r.name, Summary: []Finding{}, Problems: []Problem{}}
	all := problems{}
	switch {
	case r.sweeps():
		s.Kind, s.State, s.Sweep = "sweep", r.state(), &r.sweep.sweep
		s.Summary = append(s.Summary, s.Sweep.findings()...)
		all.join(r.sweep.problems)
	case r.logTail.info != nil || r.resultDoc.info != nil:
		run := r.log.run
		s.Kind, s.State, s.Run = "run", r.state(), &run
		if r.result != nil {
			run.Comparison, run.Command = r.result.comparison, r.result.command
			all.join(r.result.problems)
		}
		if s.State == stateRunning {
			run.Workers = workersOf(r.fleet)
		}
		s.Summary = append(s.Summary, runFindings(&run, r.result, s.State)...)
		all.join(r.log.problems)
	}
	r.unreadable(&all)
	s.Problems, s.More = append(s.Problems, all.list...), all.more
	return s
}

// unreadable adds a problem for each file and for the lines that could not be read.
func (r *reader) unreadable(all *problems) {
	for _, f := range []struct {
		name      string
		err       error
		bad, long int
	}{
		{logFile, r.logError, r.log.bad, r.longLines}, {resultFile, r.resultError, 0, 0},
		{sweepFile, r.sweepError, 0, 0}, {cellsFile, r.cellsError, r.sweep.bad, r.longCellLines},
	} {
		if f.err != nil {
			all.add(f.name, clean("could not be read: "+f.err.Error(), maxText))
		}
		if f.bad > 0 {
			all.add(f.name, fmt.Sprintf("lines that could not be read and were left out: %d", f.bad))
		}
		if f.long > 0 {
			all.add(f.name, fmt.Sprintf("lines longer than 1 MiB, left out: %d", f.long))
		}
	}
	if r.sweep.unpaired {
		all.add(cellsFile, "more pairs of rules than a page compares; some cells have none")
	}
}

// Read reads a run folder or a sweep folder. It is an error if the folder has no file of
// either. A file that exists but cannot be read is a problem in the Source.
func Read(path string) (*Source, error) {
	d := folder{path, "."}
	if info, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("htmlreport: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("htmlreport: %s is not a folder; name the run folder or sweep folder that it is in", path)
	}
	r := newReader(d, filepath.Base(filepath.Clean(path)))
	for r.poll() {
	}
	r.log.flush()
	s := r.source()
	for _, t := range []*tail{&r.logTail, &r.cellsTail} {
		if t.info != nil && t.info.Size() > t.offset && s.Kind != "" && !r.held { // nobody is writing it
			s.Problems = append(s.Problems, Problem{Where: t.name, What: "ends in the middle of a line, which is left out: its writer was cut off"})
		}
	}
	if s.Kind == "" {
		for _, p := range s.Problems {
			return nil, fmt.Errorf("htmlreport: %s: %s %s", path, p.Where, p.What)
		}
		return nil, fmt.Errorf("htmlreport: %s holds neither a run (%s, %s) nor a sweep (%s, %s)%s", path, logFile, resultFile, cellsFile, sweepFile, folders(path))
	}
	files, err := d.digests()
	if err != nil {
		return nil, fmt.Errorf("htmlreport: %s: %w", path, err)
	}
	s.Files = files
	return s, nil
}

// folders ends an error about a folder that holds nothing: it names the first folders in it that a page can show.
func folders(path string) string {
	entries, err := os.ReadDir(path)
	if err != nil {
		return ""
	}
	var found []string
	for _, e := range entries[:min(len(entries), 1000)] {
		for _, file := range []string{logFile, resultFile, cellsFile, sweepFile} {
			if info, err := os.Stat(filepath.Join(path, e.Name(), file)); err == nil && info.Mode().IsRegular() {
				if found = append(found, filepath.Join(path, e.Name())); len(found) == 4 {
					return "; name folders in it, as " + strings.Join(found[:3], " ") + " …"
				}
				break
			}
		}
	}
	if len(found) == 0 {
		return ""
	}
	return "; name folders in it: " + strings.Join(found, " ")
}
