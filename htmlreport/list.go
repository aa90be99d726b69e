package htmlreport

import (
	"cmp"
	"io/fs"
	"net/http"
	"os"
	"path"
	"reflect"
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
	Path     string `json:"path"`
	Kind     string `json:"kind"`
	Finished bool   `json:"finished"` // whether a run has its result
	Changed  int64  `json:"changed"`  // Unix time, seconds
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
		if polls > 1 && reflect.DeepEqual(now, last) {
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
		f.Finished = f.Finished || e.Name() == resultFile
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
