package htmlreport

import (
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"learnedopt/internal/lock"
)

// A run is running while a living process holds its folder. A process that was killed leaves a lock file, which tells nothing
// good.
func TestStates(t *testing.T) {
	dir := t.TempDir()
	r := newReader(folder{dir, "."}, "run")
	state := func() (string, string) {
		t.Helper()
		before := r.version
		for r.poll() {
		}
		s := r.source()
		if s.State == "" || r.version == before {
			t.Errorf("state %q, version %d after %d: a page would not hear of it", s.State, r.version, before)
		}
		return s.State, s.Summary[len(s.Summary)-1].Text
	}
	write(t, filepath.Join(dir, logFile), startLine(1)+events(t, 0, 10))
	if got, text := state(); got != stateStopped || !strings.Contains(text, "Seed 1: stopped without an end in the log") || !strings.Contains(text, "--resume") {
		t.Errorf("no process: %s: %s", got, text)
	}
	held, err := lock.Take(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, text := state(); got != stateRunning || !strings.Contains(text, "Seed 1: running; at meta-step 50") {
		t.Errorf("held by this process: %s: %s", got, text)
	}
	if err := held.Release(); err != nil {
		t.Fatal(err)
	}
	if got, _ := state(); got != stateStopped {
		t.Errorf("released: %s", got)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	dead := exec.Command(os.Args[0], "-test.run=^$")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	sign := func(pid int, host string) {
		write(t, filepath.Join(dir, lock.FileName), fmt.Sprintf(`{"pid":%d,"host":%q}`, pid, host))
	}
	sign(os.Getpid(), host)
	if got, _ := state(); got != stateRunning {
		t.Errorf("held by a living process: %s", got)
	}
	sign(dead.Process.Pid, host)
	if got, _ := state(); got != stateStopped {
		t.Errorf("held by a dead process: %s", got)
	}
	sign(dead.Process.Pid, "another-"+host) // nothing is known of another machine
	if got, _ := state(); got != stateRunning {
		t.Errorf("held on another machine: %s", got)
	}
	write(t, filepath.Join(dir, resultFile), resultText(t, "learned"))
	if err := os.Remove(filepath.Join(dir, lock.FileName)); err != nil {
		t.Fatal(err)
	}
	if got, text := state(); got != stateFinished || !strings.Contains(text, "no end in the log") {
		t.Errorf("with a result: %s: %s", got, text)
	}
}

// Without its first line, a log has no seed.
func TestALogWithoutItsStart(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, logFile), events(t, 0, 10))
	s, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range s.Summary {
		if strings.Contains(f.Text, "Seed :") || !strings.Contains(f.Text, "whose start is not in the log") {
			t.Error(f.Text)
		}
	}
}

func TestFoldersThatAreNotThere(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, s := serve(t, root)
	for _, p := range []string{"/view/none", "/view/empty", "/view/none/deeper"} {
		if resp, body := ask(t, "GET", s.URL+p, ""); resp.StatusCode != 404 || !strings.Contains(body, "no run and no sweep in") {
			t.Errorf("%s: %d %.100s", p, resp.StatusCode, body)
		}
	}
}

// proxied serves a dashboard below /user/me/proxy/ of another server, which asks for it by a name of its own.
func proxied(t *testing.T, d *dashboard) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(d.handler())
	to, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	hub := httptest.NewServer(&httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Path = strings.TrimPrefix(r.In.URL.Path, "/user/me/proxy")
		r.Out.URL.RawPath = strings.TrimPrefix(r.In.URL.RawPath, "/user/me/proxy")
		r.SetURL(to)
		r.Out.Host = "hub.example"
	}})
	t.Cleanup(func() { hub.CloseClientConnections(); hub.Close(); s.CloseClientConnections(); s.Close() })
	return hub
}

func TestBehindAProxy(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "deep down", "run", logFile), startLine(1)+events(t, 0, 10))
	if resp, _ := ask(t, "GET", proxied(t, newDashboard(root, nil, "v1.2.3")).URL+"/user/me/proxy/", ""); resp.StatusCode != 421 {
		t.Errorf("a name that was not allowed: %d", resp.StatusCode)
	}
	hub := proxied(t, newDashboard(root, []string{"127.0.0.1", "hub.example"}, "v1.2.3"))
	p := newTab(t, func(u string) bool { return strings.HasPrefix(u, hub.URL+"/user/me/proxy/") })
	p.size(1280, 900, false)
	p.run(chromedp.Navigate(hub.URL + "/user/me/proxy/"))
	p.until(`document.querySelector("main a")?.textContent === "deep down/run"`)
	p.want(`document.querySelector("main tbody").textContent.includes("stopped") && document.querySelector("main tbody").textContent.includes("meta-step 50")`, "state and progress")
	p.shoot("dashboard-list-proxied")
	p.run(chromedp.Click(chromedp.CSS("main a")))
	p.until(shown + " === 50")
	p.run(chromedp.Click(chromedp.CSS("footer a")))
	p.until(`document.querySelector("main a")?.textContent === "deep down/run"`)
}
