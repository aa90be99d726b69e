package htmlreport

import (
	"cmp"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
)

// Bounds of the search for folders: its depth, the number of entries that it visits and the number of folders that it finds.
const (
	maxLevel   = 5
	maxEntries = 20000
	maxFolders = 500
	relist     = 8 // polls between two searches
)

// An Entry is a folder with a run or a sweep.
type Entry struct {
	Path    string `json:"path"`
	Kind    string `json:"kind"`
	State   string `json:"state"`   // running, stopped or finished
	Changed int64  `json:"changed"` // Unix time, seconds
	// Task is what a run trains on. Progress says how far it is: the meta-step of the last validation, or the cells
	// with results. Loss is a run's best validation loss. Verdict is that of the first finding that has one.
	Task     string `json:"task,omitempty"`
	Progress string `json:"progress,omitempty"`
	Loss     Num    `json:"loss"`
	Verdict  string `json:"verdict,omitempty"`

	size int64 // of its files, in bytes
}

// equal reports whether a page would show the same.
func (e Entry) equal(f Entry) bool {
	if !e.Loss.finite() && !f.Loss.finite() {
		e.Loss, f.Loss = 0, 0 // NaN differs from itself
	}
	return e == f
}

// same reports whether the files of two entries are the same, as far as sizes and times tell.
func (e *Entry) same(of *Entry) bool {
	return of != nil && e.Kind == of.Kind && e.Changed == of.Changed && e.size == of.size
}

// describe fills in what the files say.
func (e *Entry) describe(root string) {
	r := newReader(folder{root, e.Path}, e.Path)
	for r.poll() {
	}
	s := r.source()
	e.State = s.State
	for _, f := range s.Summary {
		if e.Verdict = f.Verdict; e.Verdict != "" {
			break
		}
	}
	e.Loss = nan
	switch {
	case s.Run != nil && len(s.Run.Trainings) > 0:
		last := s.Run.Trainings[len(s.Run.Trainings)-1]
		e.Task, e.Progress = last.Task, fmt.Sprintf("meta-step %d", last.MetaStep)
		for _, t := range s.Run.Trainings {
			if t.Valid.finite() && !(e.Loss <= t.Valid) {
				e.Loss = t.Valid
			}
		}
	case s.Sweep != nil && s.Sweep.Planned > 0:
		e.Progress = fmt.Sprintf("%d of %d cells", len(s.Sweep.Cells), s.Sweep.Planned)
	case s.Sweep != nil:
		e.Progress = fmt.Sprintf("%d cells", len(s.Sweep.Cells))
	}
}

// list streams the list of folders; it sends the whole list again whenever it has changed.
func (d *dashboard) list(w http.ResponseWriter, req *http.Request) {
	var (
		last  []Entry
		polls int
	)
	d.stream(w, req, func() (string, any) {
		if polls++; polls > 1 && polls%relist != 0 {
			return "", nil
		}
		now := find(d.root)
		for i := range now {
			e := &now[i]
			k := slices.IndexFunc(last, func(old Entry) bool { return old.Path == e.Path })
			held := folder{d.root, e.Path}.held()
			if k >= 0 && e.same(&last[k]) && held == (last[k].State == stateRunning) { // a process can end without a change of its files
				*e = last[k]
				continue
			}
			e.describe(d.root)
		}
		if polls > 1 && slices.EqualFunc(now, last, Entry.equal) {
			return "", nil
		}
		last = now
		return "list", now
	})
}

// find returns the run folders and sweep folders at and below root, in the order of their paths. Symbolic
// links are not followed.
func find(dir string) []Entry {
	found := map[string]*Entry{}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return []Entry{}
	}
	defer root.Close()
	seen := 0
	_ = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if seen++; seen > maxEntries || len(found) > maxFolders {
			return fs.SkipAll
		}
		if err != nil {
			return nil // a folder that cannot be read is not shown
		}
		if e.IsDir() {
			if name != "." && (strings.Count(name, "/") >= maxLevel || strings.HasPrefix(e.Name(), ".")) {
				return fs.SkipDir
			}
			return nil
		}
		kind := map[string]string{logFile: "run", resultFile: "run", cellsFile: "sweep", sweepFile: "sweep"}[e.Name()]
		info, err := e.Info()
		if kind == "" || err != nil || !info.Mode().IsRegular() {
			return nil
		}
		at := path.Dir(name)
		f := found[at]
		if f == nil {
			f = &Entry{Path: at, Kind: kind}
			found[at] = f
		}
		if kind == "sweep" {
			f.Kind = kind
		}
		f.size += info.Size()
		f.Changed = max(f.Changed, info.ModTime().Unix())
		return nil
	})
	all := []Entry{}
	for _, f := range found {
		all = append(all, *f)
	}
	slices.SortFunc(all, func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })
	return all
}
