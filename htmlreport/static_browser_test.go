package htmlreport

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// Without scripts a report shows its findings, tables, pictures and provenance.
func TestReportsWithoutScripts(t *testing.T) {
	run, grid := filepath.Join(t.TempDir(), "quadratic"), filepath.Join(t.TempDir(), "grid")
	writeRun(t, run, "learned")
	writeSweep(t, grid, "learned")
	path := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(path, []byte(written(t, "A report", run, grid)), 0o644); err != nil {
		t.Fatal(err)
	}
	at := (&url.URL{Scheme: "file", Path: path}).String()
	p := newTab(t, func(u string) bool { return u == at || strings.HasPrefix(u, "data:") })
	p.size(1000, 1400, false)
	p.run(call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}), chromedp.Navigate(at))
	p.until(`document.querySelector("h1")?.textContent === "A report"`)
	for expression, what := range map[string]string{
		`document.querySelector("#app").childElementCount === 0`:                                                     "no script has run",
		`document.querySelector(".findings li").textContent.startsWith("won learned against nesterov")`:              "the verdict comes first",
		`[...document.images].length === 5 && [...document.images].every((i) => i.complete && i.naturalWidth > 300)`: "two pictures of the run are drawn, and of the sweep a heat map and the curves of two activations",
		`[...document.querySelectorAll("tr")].some((r) => /^learned–/.test(r.textContent))`:                          "the learned rule has a row",
		`document.querySelector("code").textContent.startsWith("metaopt meta-train --task quadratic")`:               "the command",
		`[...document.querySelectorAll("td code")].every((c) => c.textContent.length === 64)`:                        "digests of the files",
		`document.querySelector(".problems").textContent.includes("gradient not finite at inner step 17")`:           "what went wrong",
		`document.querySelectorAll("article")[1].querySelectorAll("tbody tr").length > 60`:                           "the cells of the sweep",
		noSideScroll: "nothing beside the screen",
	} {
		p.want(expression, what)
	}
	p.shoot("static")
}
