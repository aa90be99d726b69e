package fetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// content is the file that the honest mirrors serve.
var content = bytes.Repeat([]byte("0123456789abcdef"), 20000)

// site is a TLS server with one path for each kind of mirror.
type site struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string // path and Range
	endless  atomic.Int64
}

func newSite(t *testing.T) *site {
	s := &site{}
	mux := http.NewServeMux()
	serve := func(path string, h http.HandlerFunc) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			s.requests = append(s.requests, strings.TrimSpace(r.URL.Path+" "+r.Header.Get("Range")))
			s.mu.Unlock()
			h(w, r)
		})
	}
	honest := func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
	serve("/honest", honest)
	serve("/norange", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(content) })
	serve("/cut", func(w http.ResponseWriter, r *http.Request) { // announces the whole length, sends half, drops the connection
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(content[:len(content)/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	serve("/short", func(w http.ResponseWriter, r *http.Request) { // sends half as if it were the whole file
		w.(http.Flusher).Flush() // makes the response chunked, without a length
		_, _ = w.Write(content[:len(content)/2])
	})
	serve("/lying", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(bytes.Repeat([]byte("x"), len(content))) })
	serve("/endless", func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		for range 1000 { // bounded in case the client reads on
			if _, err := w.Write(content); err != nil {
				return
			}
			s.endless.Add(1)
		}
	})
	serve("/huge", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "99999999999")
		_, _ = w.Write(content)
	})
	serve("/hanging", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(content[:100])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	serve("/dripping", func(w http.ResponseWriter, r *http.Request) { // sends a byte now and then
		for i := range content {
			if _, err := w.Write(content[i : i+1]); err != nil || r.Context().Err() != nil {
				return
			}
			w.(http.Flusher).Flush()
			time.Sleep(5 * time.Millisecond)
		}
	})
	serve("/silent", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	serve("/wrongrange", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(content)-1, len(content)))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(content)
	})
	serve("/downgrade", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+r.Host+"/honest", http.StatusFound)
	})
	serve("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/honest", http.StatusFound) })
	serve("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	s.Server = httptest.NewUnstartedServer(mux)
	s.Server.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// dataset returns a data set of one file, content, with the given paths of the site as its mirrors.
func (s *site) dataset(paths ...string) Dataset {
	sum := sha256.Sum256(content)
	file := File{Name: "file.gz", Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}
	for _, p := range paths {
		file.URLs = append(file.URLs, s.URL+p)
	}
	return Dataset{Name: "set", Files: []File{file}}
}

func (s *site) fetcher() Fetcher { return Fetcher{Client: s.Client(), Stall: 5 * time.Second} }

// check fails the test unless the right file exists and nothing else is left.
func check(t *testing.T, dir string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(dir, "set", "file.gz"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, content) {
		t.Errorf("the file of %d bytes is not the content", len(got))
	}
	if entries, _ := os.ReadDir(filepath.Join(dir, "set")); len(entries) != 1 {
		t.Errorf("left in the folder: %v", entries)
	}
}

func TestFetch(t *testing.T) {
	for name, paths := range map[string][]string{
		"at once":                 {"/honest"},
		"redirect within https":   {"/moved"},
		"next after 404":          {"/nowhere", "/honest"},
		"next after a lie":        {"/lying", "/honest"},
		"next after a cut":        {"/cut", "/honest"},
		"next without resuming":   {"/cut", "/norange"},
		"next after a short body": {"/short", "/honest"},
		"next after too much":     {"/endless", "/honest"},
		"next after a huge offer": {"/huge", "/honest"},
		"wrong range":             {"/cut", "/wrongrange", "/honest"},
		"lie after a cut":         {"/cut", "/lying", "/honest"},
	} {
		t.Run(name, func(t *testing.T) {
			s, dir := newSite(t), t.TempDir()
			var last int64
			f := s.fetcher()
			f.Progress = func(file string, done, total int64) {
				if file != "file.gz" || total != int64(len(content)) || done > total {
					t.Errorf("progress %q %d of %d", file, done, total)
				}
				last = done
			}
			if err := f.Fetch(context.Background(), dir, s.dataset(paths...)); err != nil {
				t.Fatal(err)
			}
			check(t, dir)
			if last != int64(len(content)) {
				t.Errorf("the last progress was %d", last)
			}
		})
	}
}

// A download that was cut off is continued, by the same Fetch and by a later one.
func TestFetchResumes(t *testing.T) {
	s, dir := newSite(t), t.TempDir()
	err := s.fetcher().Fetch(context.Background(), dir, s.dataset("/cut"))
	var failed *Error
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), fmt.Sprintf("after %d of %d bytes", len(content)/2, len(content))) {
		t.Fatalf("error %v", err)
	}
	if err := s.fetcher().Fetch(context.Background(), dir, s.dataset("/honest")); err != nil {
		t.Fatal(err)
	}
	check(t, dir)
	if want := fmt.Sprintf("/honest bytes=%d-", len(content)/2); s.requests[1] != want {
		t.Errorf("requests %q, want the second to be %q", s.requests, want)
	}
}

// A damaged .part file costs one more download, but does not rule out the mirror.
func TestFetchRestartsDamagedPart(t *testing.T) {
	for _, size := range []int{1000, len(content), len(content) + 5} {
		s, dir := newSite(t), t.TempDir()
		_ = os.MkdirAll(filepath.Join(dir, "set"), 0o755)
		if err := os.WriteFile(filepath.Join(dir, "set", "file.gz.part"), make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := s.fetcher().Fetch(context.Background(), dir, s.dataset("/honest")); err != nil {
			t.Fatal(err)
		}
		check(t, dir)
	}
}

func TestFetchKeepsAndReplaces(t *testing.T) {
	s, dir := newSite(t), t.TempDir()
	if err := s.fetcher().Fetch(context.Background(), dir, s.dataset("/honest")); err != nil {
		t.Fatal(err)
	}
	if err := s.fetcher().Fetch(context.Background(), dir, s.dataset("/honest")); err != nil || len(s.requests) != 1 {
		t.Errorf("a file that was there cost requests %q, error %v", s.requests, err)
	}
	path := filepath.Join(dir, "set", "file.gz")
	if err := os.WriteFile(path, []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.fetcher().Fetch(context.Background(), dir, s.dataset("/lying")); err == nil {
		t.Error("no error")
	}
	if got, _ := os.ReadFile(path); string(got) != "other" {
		t.Errorf("a failed download changed the file to %d bytes", len(got))
	}
	if err := s.fetcher().Fetch(context.Background(), dir, s.dataset("/honest")); err != nil {
		t.Fatal(err)
	}
	check(t, dir)
}

func TestFetchStall(t *testing.T) {
	s, dir := newSite(t), t.TempDir()
	f := s.fetcher()
	f.Stall = 100 * time.Millisecond
	start := time.Now()
	err := f.Fetch(context.Background(), dir, s.dataset("/silent", "/hanging", "/dripping"))
	if !errors.Is(err, errStall) || strings.Count(err.Error(), "stopped sending, or nearly so, for 100ms") != 3 {
		t.Errorf("error %v", err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("gave up after %v", took)
	}
	if err := f.Fetch(context.Background(), dir, s.dataset("/silent", "/honest")); err != nil {
		t.Fatal(err)
	}
	check(t, dir)
}

func TestFetchCancel(t *testing.T) {
	s, dir := newSite(t), t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	f := s.fetcher()
	f.Progress = func(string, int64, int64) { cancel() }
	err := f.Fetch(ctx, dir, s.dataset("/hanging", "/honest"))
	var failed *Error
	if !errors.Is(err, context.Canceled) || errors.As(err, &failed) || len(s.requests) != 1 {
		t.Errorf("error %v, requests %q", err, s.requests)
	}
	if n := sizeOf(filepath.Join(dir, "set", "file.gz.part")); n != 100 {
		t.Errorf("%d bytes are kept, want 100", n)
	}
}

// Only https is used, and the error holds the failure of every mirror.
func TestFetchErrors(t *testing.T) {
	s, dir := newSite(t), t.TempDir()
	d := s.dataset("/nowhere", "/downgrade", "/loop", "/lying", "/endless", "/huge")
	d.Files[0].URLs = append(d.Files[0].URLs, "http://example.invalid/file.gz")
	err := s.fetcher().Fetch(context.Background(), dir, d)
	var failed *Error
	if !errors.As(err, &failed) || len(failed.Mirrors) != 7 {
		t.Fatalf("error %v", err)
	}
	u, _ := url.Parse(s.URL)
	for i, want := range []string{
		"status 404", "refused to go to http://" + u.Host + "/honest: not https", "more than 5 redirects", "wrong SHA-256 sum",
		"sent more than 320000 bytes", "offers 99999999999 bytes, want 320000", "refused to go to http://example.invalid",
	} {
		if got := failed.Mirrors[i].Err.Error(); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", failed.Mirrors[i].URL, got, want)
		}
		if !strings.Contains(err.Error(), failed.Mirrors[i].URL) || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not tell of %s: %v", failed.Mirrors[i].URL, err)
		}
	}
	if entries, _ := os.ReadDir(filepath.Join(dir, "set")); len(entries) != 0 {
		t.Errorf("left in the folder: %v", entries)
	}
	// The user's own file with another compression stays, and the error mentions it.
	own := filepath.Join(dir, "set", d.Files[0].Name)
	if err := os.WriteFile(own, []byte("my own"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.fetcher().Fetch(context.Background(), dir, d); err == nil || !strings.Contains(err.Error(), "has another sum") || strings.Contains(failed.Error(), "has another sum") {
		t.Errorf("error %v", err)
	}
	if data, err := os.ReadFile(own); err != nil || string(data) != "my own" {
		t.Errorf("the file is now %q, %v", data, err)
	}
	if n := s.endless.Load(); n > 400 { // a few more than one are normal: the connection has buffers
		t.Errorf("the endless mirror could send %d times the file", n)
	}
}

// One mirror ignores the requested range, and one sends another range.
func TestFetchRanges(t *testing.T) {
	s, dir := newSite(t), t.TempDir()
	if err := s.fetcher().Fetch(context.Background(), dir, s.dataset("/cut", "/norange")); err != nil || len(s.requests) != 2 {
		t.Errorf("error %v, requests %q", err, s.requests)
	}
	check(t, dir)
	err := s.fetcher().Fetch(context.Background(), t.TempDir(), s.dataset("/cut", "/wrongrange"))
	if err == nil || !strings.Contains(err.Error(), "asked for the bytes from 160000, was sent") {
		t.Errorf("error %v", err)
	}
}

func TestLookup(t *testing.T) {
	for _, name := range Names() {
		d, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		if d.Name != name || len(d.Files) == 0 {
			t.Errorf("%s: %+v", name, d)
		}
		for _, f := range d.Files {
			if sum, err := hex.DecodeString(f.SHA256); err != nil || len(sum) != sha256.Size || f.Size < 1 || len(f.URLs) < 2 {
				t.Errorf("%s: %+v", name, f)
			}
			for _, address := range f.URLs {
				if u, err := url.Parse(address); err != nil || u.Scheme != "https" || !strings.HasSuffix(u.Path, "/"+f.Name) {
					t.Errorf("%s: address %s", name, address)
				}
			}
		}
	}
	if _, err := Lookup("imagenet"); err == nil || !strings.Contains(err.Error(), "mnist, fashion-mnist, cifar10") {
		t.Errorf("error %v", err)
	}
}
