package htmlreport

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serve starts a server with a dashboard that polls often.
func serve(t *testing.T, dir string) (*dashboard, *httptest.Server) {
	t.Helper()
	d := newDashboard(dir, []string{"127.0.0.1"}, "v1.2.3")
	d.every = 5 * time.Millisecond
	s := httptest.NewServer(d.handler())
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return d, s
}

// ask sends a request and returns the status and the body.
func ask(t *testing.T, method, url, host string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	// The path must reach the server as it is: a client would clean it up.
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestForeignNamesAreRefused(t *testing.T) {
	_, s := serve(t, t.TempDir())
	for host, want := range map[string]int{
		"": 200, "localhost": 200, "LOCALHOST:9000": 200, "127.0.0.1:1": 200, "[::1]:80": 200, "192.168.1.7:80": 200,
		"evil.example": 421, "evil.example:80": 421, "127.0.0.1.evil.example": 421, "localhost.evil.example:80": 421, "localhost.": 421, "[evil]": 421,
	} {
		if resp, body := ask(t, "GET", s.URL+"/", host); resp.StatusCode != want {
			t.Errorf("Host %q: %d, want %d: %s", host, resp.StatusCode, want, body)
		}
	}
	named := newDashboard(t.TempDir(), []string{"My-Machine"}, "v")
	if !named.knownHost("my-machine:80") || named.knownHost("other:80") || newDashboard("", []string{""}, "v").knownHost("") {
		t.Error("the name that the user listens on is the only other one")
	}
}

func TestOnlyReadingIsAllowed(t *testing.T) {
	_, s := serve(t, t.TempDir())
	for method, want := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405, "PUT": 405, "DELETE": 405, "OPTIONS": 405, "PATCH": 405} {
		resp, body := ask(t, method, s.URL+"/", "")
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", method, resp.StatusCode, want)
		}
		if method == "HEAD" && body != "" {
			t.Error("HEAD has a body")
		}
	}
	resp, _ := ask(t, "GET", s.URL+"/", "")
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
		"Content-Security-Policy": "frame-ancestors 'none'", "Cache-Control": "no-store", "Content-Type": "text/html; charset=utf-8",
	} {
		if got := resp.Header.Get(name); !strings.Contains(got, want) {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("other pages may read")
	}
}

func TestHostilePathsLeadNowhere(t *testing.T) {
	outside := t.TempDir()
	write(t, filepath.Join(outside, logFile), startLine(99))
	root := filepath.Join(outside, "root")
	write(t, filepath.Join(root, "run", logFile), startLine(1))
	if err := os.Symlink(outside, filepath.Join(root, "way")); err != nil {
		t.Log("no symbolic links: ", err)
	}
	_, s := serve(t, root)
	for _, p := range []string{"..", "../", "%2e%2e", "%2e%2e%2f", "run/../..", "run%2f..%2f..", "/", "//" + outside, "%2f" + outside[1:], "way", "way%00", "run%00/..", `..\..`, "C:/", "run/..%5c..%5c.."} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		req, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/events/"+p, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		body, _ := io.ReadAll(resp.Body) // reads until the time limit
		resp.Body.Close()
		cancel()
		if strings.Contains(string(body), `"seed":"99"`) || strings.Contains(string(body), "Seed 99") {
			t.Errorf("%s: the log outside was read", p)
		}
	}
	for _, p := range []string{"/nothing", "/log.jsonl", "/run/log.jsonl"} {
		if resp, _ := ask(t, "GET", s.URL+p, ""); resp.StatusCode != 404 {
			t.Errorf("%s: %d", p, resp.StatusCode)
		}
	}
}

// A listener reads server-sent events.
type listener struct {
	*testing.T
	lines *bufio.Reader
}

func hear(t *testing.T, url string) *listener {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	return &listener{t, bufio.NewReader(resp.Body)}
}

// heard is the content of a message as a page decodes it.
type heard struct {
	Kind string
	Run  *struct {
		Episodes    [][]any
		Validations []any
		Trainings   []struct{ Seed, Reason string }
		Comparison  any
	}
	Sweep *struct {
		Cells []struct{ Index int }
		Axes  []Axis
	}
	Problems []Problem
}

// next returns the next event and its data.
func (l *listener) next() (string, []byte) {
	l.Helper()
	event := ""
	for {
		text, err := l.lines.ReadString('\n')
		if err != nil {
			l.Fatal(err)
		}
		text = strings.TrimSuffix(text, "\n")
		if name, ok := strings.CutPrefix(text, "event: "); ok {
			event = name
		}
		if data, ok := strings.CutPrefix(text, "data: "); ok {
			return event, []byte(data)
		}
	}
}

func (l *listener) expect(event string) heard {
	l.Helper()
	got, data := l.next()
	if got != event {
		l.Fatalf("heard %s %.300s, want %s", got, data, event)
	}
	var h heard
	if err := json.Unmarshal(data, &h); err != nil {
		l.Fatal(err)
	}
	return h
}

func TestARunIsStreamed(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "run")
	_, s := serve(t, root)
	l := hear(t, s.URL+"/events/run")
	if h := l.expect("reset"); h.Kind != "" || h.Run != nil {
		t.Fatalf("before there is a folder: %+v", h)
	}
	log := filepath.Join(dir, logFile)
	write(t, log+".new", startLine(1)+events(t, 0, 10))
	rename(t, log+".new", log)
	h := l.expect("append")
	if h.Kind != "run" || len(h.Run.Episodes) != 10 || len(h.Run.Validations) != 1 || h.Run.Trainings[0].Seed != "1" {
		t.Fatalf("%+v", h.Run)
	}
	appendTo(t, log, events(t, 10, 3)+`{"event":"epi`)
	if h = l.expect("append"); len(h.Run.Episodes) != 3 || len(h.Run.Validations) != 1 || h.Run.Episodes[0][1] != 55. {
		t.Fatalf("only what is new: %+v", h.Run)
	}
	appendTo(t, log, "sode broken\n")
	if h = l.expect("append"); len(h.Run.Episodes) != 0 || len(h.Problems) != 1 || !strings.Contains(h.Problems[0].What, "left out: 1") {
		t.Fatalf("a broken line: %+v", h)
	}
	write(t, filepath.Join(dir, resultFile+".new"), resultText(t, "learned"))
	rename(t, filepath.Join(dir, resultFile+".new"), filepath.Join(dir, resultFile))
	if h = l.expect("append"); h.Run.Comparison == nil {
		t.Fatal("the result is not told")
	}
	appendTo(t, log, endLine)
	if h = l.expect("append"); h.Run.Comparison != nil || h.Run.Trainings[0].Reason != "time" {
		t.Fatalf("the end: %+v", h.Run)
	}
	// The run begins again in the same file.
	write(t, log, startLine(2))
	if h = l.expect("reset"); len(h.Run.Episodes) != 0 || h.Run.Trainings[0].Seed != "2" || h.Run.Comparison == nil {
		t.Fatalf("%+v", h.Run)
	}
	// The run begins again in a new folder.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for h.Kind != "" { // the files are removed one after the other
		h = l.expect("reset")
	}
	write(t, log, startLine(3))
	for h.Run == nil || len(h.Run.Trainings) == 0 {
		h = l.expect("append")
	}
	if h.Run.Trainings[0].Seed != "3" {
		t.Fatalf("%+v", h.Run)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestASweepIsStreamed(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, sweepFile), sweepText(t))
	_, s := serve(t, dir)
	l := hear(t, s.URL+"/events/")
	if h := l.expect("reset"); h.Kind != "sweep" || len(h.Sweep.Axes) != 3 || len(h.Sweep.Cells) != 0 {
		t.Fatalf("%+v", h.Sweep)
	}
	cells := filepath.Join(dir, cellsFile)
	appendTo(t, cells, cellRecord(t, 5, 100, "relu", "mlp", "learned", 1, 0))
	if h := l.expect("append"); len(h.Sweep.Cells) != 1 || h.Sweep.Cells[0].Index != 0 {
		t.Fatalf("%+v", h.Sweep)
	}
	appendTo(t, cells, cellRecord(t, 10, 100, "relu", "mlp", "learned", 1, 0))
	if h := l.expect("append"); len(h.Sweep.Cells) != 1 || h.Sweep.Cells[0].Index != 1 {
		t.Fatalf("only the cell that is new: %+v", h.Sweep)
	}
	write(t, cells, cellRecord(t, 20, 100, "relu", "mlp", "learned", 1, 0))
	h := l.expect("reset")
	for len(h.Sweep.Cells) == 0 { // the dashboard may see the file while it is empty
		h = l.expect("append")
	}
	if len(h.Sweep.Cells) != 1 || len(h.Sweep.Axes) != 3 {
		t.Fatalf("%+v", h.Sweep)
	}
}

func TestFoldersAreListed(t *testing.T) {
	root := t.TempDir()
	writeRun(t, filepath.Join(root, "b", "run"), "learned")
	write(t, filepath.Join(root, "a", cellsFile), "")
	write(t, filepath.Join(root, ".hidden", logFile), "")
	write(t, filepath.Join(root, "1/2/3/4/5/6/7", logFile), "")
	_, s := serve(t, root)
	l := hear(t, s.URL+"/list")
	read := func() string {
		t.Helper()
		event, data := l.next()
		var entries []Entry
		if err := json.Unmarshal(data, &entries); err != nil || event != "list" {
			t.Fatal(event, err)
		}
		text := ""
		for _, e := range entries {
			text += e.Path + " " + e.Kind + " " + e.State
			if e.Progress != "" {
				text += " " + e.Progress
			}
			if e.Verdict != "" {
				text += " " + e.Verdict
			}
			text += ", "
		}
		return text
	}
	if got := read(); got != "a sweep stopped 0 cells, b/run run finished meta-step 200 won, " {
		t.Error(got)
	}
	write(t, filepath.Join(root, "c", logFile), startLine(0))
	if got := read(); got != "a sweep stopped 0 cells, b/run run finished meta-step 200 won, c run stopped meta-step 0, " {
		t.Error(got)
	}
}

func TestStreamsAreLimited(t *testing.T) {
	d, s := serve(t, t.TempDir())
	for range maxStreams {
		hear(t, s.URL+"/events/").expect("reset")
	}
	resp, _ := ask(t, "GET", s.URL+"/events/", "")
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d", resp.StatusCode)
	}
	if resp, _ := ask(t, "GET", s.URL+"/", ""); resp.StatusCode != 200 {
		t.Errorf("other pages: %d", resp.StatusCode)
	}
	s.CloseClientConnections()
	deadline := time.Now().Add(10 * time.Second)
	for len(d.streams) > 0 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	if len(d.streams) > 0 {
		t.Errorf("%d streams outlive their clients", len(d.streams))
	}
}

// Serve answers requests, ends with its context even if a stream is open, and holds at most maxConnections connections.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	writeRun(t, dir, "learned")
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skip("no network: ", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, socket, dir, []string{"127.0.0.1"}, "v") }()
	hear(t, "http://"+socket.Addr().String()+"/events/").expect("reset")
	// A client that never finishes its header is disconnected.
	slow, err := net.Dial("tcp", socket.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if _, err := slow.Write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\nX: ")); err != nil {
		t.Fatal(err)
	}
	if err := slow.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, slow); err != nil {
		t.Errorf("a slow header is waited for: %v", err)
	}
	// A client with too long a header is disconnected too.
	long, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+socket.Addr().String()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	long.Header.Set("X", strings.Repeat("x", 64<<10))
	if resp, err := http.DefaultClient.Do(long); err == nil {
		if resp.Body.Close(); resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a long header: %d", resp.StatusCode)
		}
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it does not end")
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skip("no network: ", err)
	}
	l := &limited{Listener: socket, slots: make(chan struct{}, 2)}
	defer l.Close()
	accepted := make(chan net.Conn, 3)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	for range 3 {
		c, err := net.Dial("tcp", socket.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first := <-accepted
	<-accepted
	select {
	case <-accepted:
		t.Fatal("a third connection is accepted")
	case <-time.After(100 * time.Millisecond):
	}
	first.Close()
	first.Close() // frees one slot, not two
	select {
	case <-accepted:
	case <-time.After(10 * time.Second):
		t.Fatal("a closed connection frees no slot")
	}
	if len(l.slots) != 2 {
		t.Errorf("%d slots in use", len(l.slots))
	}
}
