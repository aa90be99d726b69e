package htmlreport

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"

	"learnedopt/distributed/fleet"
	"learnedopt/internal/lock"
)

// running starts a server on an address until stop is called.
func running(t *testing.T, dir, address string) (at string, stop func()) {
	t.Helper()
	var socket net.Listener
	var err error
	for range 100 { // the address may still be in use for a moment
		if socket, err = net.Listen("tcp", address); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		t.Skip("no network: ", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, socket, dir, []string{"127.0.0.1"}, "v1.2.3") }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	return socket.Addr().String(), stop
}

func openDashboard(t *testing.T, address, path string) *tab {
	t.Helper()
	p := newTab(t, func(u string) bool { return strings.HasPrefix(u, "http://"+address+"/") })
	p.size(1280, 900, false)
	p.run(chromedp.Navigate("http://" + address + path))
	return p
}

// shown returns the meta-step of the last episode on the page, read from the text of its training chart, or -1 without a chart.
const shown = `(() => {
	const f = [...document.querySelectorAll("figure")].find((f) => f.querySelector("figcaption").textContent === "Losses of episodes and validations");
	if (!f || f.hidden) return -1;
	const m = /episodes ends at [^ ]+ \(meta-step (\d+)\)/.exec(f.querySelector(".plot").getAttribute("aria-label"));
	return m ? Number(m[1]) : 0;
})()`

func TestDashboardOfARunInABrowser(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "run")
	path := filepath.Join(dir, logFile)
	write(t, path, startLine(1)+events(t, 0, 10))
	address, stop := running(t, root, "127.0.0.1:0")
	p := openDashboard(t, address, "/")
	p.until(`document.querySelector("main a")?.textContent === "run"`)
	p.shoot("dashboard-list")
	p.run(chromedp.Click(chromedp.CSS("main a")))
	p.until(shown + " === 50")
	p.want(`document.querySelector(".status").textContent === "Live."`, "it says that it is live")
	// The curve grows, and the reader's choices stay.
	p.click(`//figure[figcaption[text()="Losses of episodes and validations"]]//button[contains(., "validation")]`)
	appendTo(t, path, events(t, 10, 10)+divergedLine(t, 100))
	p.until(shown + " === 100")
	p.want(`[...document.querySelectorAll(".rule")].find((b) => b.textContent === "validation").getAttribute("aria-pressed") === "false"`, "a rule that was taken away stays away")
	p.until(`document.querySelector(".problems").textContent.includes("gradient not finite at inner step 17")`)
	p.run(do(`[...document.querySelectorAll("figure")].find((f) => f.textContent.startsWith("Losses of episodes")).querySelector(".values").open = true`))
	p.until(`[...document.querySelectorAll(".values[open] tbody tr")].some((r) => r.cells[0].textContent === "5" && Number(r.cells[2].textContent) > 0)`) // the first values are still there
	// A hostile line has no effect, and later lines still arrive.
	appendTo(t, path, `{"event":"end","reason":"</script><img src=x onerror='window.hacked=1'>","error":"<b>"}`+"\n{broken\n"+strings.Repeat("x", 3*maxLine)+"\n"+events(t, 20, 1))
	p.until(shown + " === 105")
	p.want(`window.hacked === undefined && !document.querySelector("img, b") && document.body.textContent.includes("ended by </script><img")`, "it is text")
	p.want(`document.querySelector(".problems").textContent.includes("lines longer than 1 MiB, left out: 1")`, "and counted")
	// The result arrives.
	write(t, filepath.Join(dir, resultFile), resultText(t, "learned"))
	p.until(`document.querySelector(".findings .badge")?.textContent === "▲ won"`)
	p.until(learnedLight + " > 200") // the first learned rule has its colour, whatever was drawn before
	p.shoot("dashboard-run")
	// The run starts again.
	write(t, path, startLine(2)+events(t, 0, 3))
	p.until(shown + " === 15")
	p.want(`document.querySelector(".findings").textContent.includes("Seed 2")`, "it is the new run")
	// The server stops and starts again.
	p.mu.Lock()
	p.tolerate = func(e *log.Entry) bool { return e.Source == log.EntrySourceNetwork }
	p.mu.Unlock()
	stop()
	p.until(`document.querySelector(".status").textContent.startsWith("The server does not answer")`)
	appendTo(t, path, events(t, 3, 5))
	_, stop = running(t, root, address)
	defer stop()
	p.until(shown + " === 40")
	p.want(`document.querySelector(".status").textContent === "Live."`, "it is live again")
	p.want("location.pathname === '/view/run'", "without a reload")
}

func TestDashboardOfASweepInABrowser(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, sweepFile), sweepText(t))
	address, stop := running(t, dir, "127.0.0.1:0")
	defer stop()
	p := openDashboard(t, address, "/")
	p.until(`document.querySelectorAll(".heat .empty").length === 15`)
	cells := filepath.Join(dir, cellsFile)
	appendTo(t, cells, cellRecord(t, 5, 100, "sigmoid", "mlp", "learned", 0.5, 0)+cellRecord(t, 5, 100, "sigmoid", "adam", "baseline", 0.9, 0))
	p.until(`document.querySelectorAll(".heat button").length === 1`)
	p.want(`document.querySelector(".heat .big").textContent === "0.556"`, "the cell's ratio")
	p.run(chromedp.Click(chromedp.CSS(".heat button")))
	p.until(`document.querySelector(".detail h4").textContent.includes("units 5")`)
	appendTo(t, cells, cellRecord(t, 80, 10000, "sigmoid", "mlp", "learned", 0.5, 0))
	appendTo(t, cells, cellRecord(t, 80, 10000, "sigmoid", "adam", "baseline", 0.9, 0)[:200])
	p.until(`document.querySelectorAll(".heat button").length === 1 && document.querySelector(".findings").textContent.includes("2 of 30 cells")`)
	p.want(`document.activeElement.dataset.cell === "0" && document.activeElement.getAttribute("aria-pressed") === "true"`, "the chosen cell keeps the focus")
	appendTo(t, cells, cellRecord(t, 80, 10000, "sigmoid", "adam", "baseline", 0.9, 0)[200:])
	p.until(`document.querySelectorAll(".heat button").length === 2`)
	write(t, cells, "")
	p.until(`document.querySelectorAll(".heat .empty").length === 15`)
}

// The workers of a training on many machines are a table, which follows them.
func TestWorkersInABrowser(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, logFile), startLine(1)+events(t, 0, 10))
	held, err := lock.Take(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Release()
	address, stop := running(t, dir, "127.0.0.1:0")
	defer stop()
	p := openDashboard(t, address, "/")
	p.until(shown + " === 50")
	const section = `document.querySelector(".workers").parentElement`
	p.want(section+".hidden", "without workers there is no section about them")
	if err := fleet.Write(dir, &someWorkers); err != nil {
		t.Fatal(err)
	}
	p.until("!" + section + `.hidden && document.querySelector(".workers").textContent.includes("2 workers compute 2.5 units a second. Queue: 3 wait. Redelivered: 1. Slowest: bob, 1.6 s a unit.")`)
	p.want(section+`.querySelectorAll("tbody tr").length === 2 && `+section+`.querySelector("tbody").textContent.includes("<b>y") && !`+section+`.querySelector("b")`, "a row for each, as text")
	p.shoot("dashboard-workers")
	if err := os.Remove(filepath.Join(dir, fleet.File)); err != nil {
		t.Fatal(err)
	}
	p.until(section + ".hidden")
}
