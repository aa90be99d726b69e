package htmlreport

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"learnedopt/compare"
	"learnedopt/metatrain"
)

// inked counts the pixels of the first chart that are close to a colour such as "213,94,0".
const inked = `((r, g, b) => {
	const c = document.querySelector(".plot canvas"), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
	let n = 0;
	for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200 && Math.abs(d[i] - r) + Math.abs(d[i + 1] - g) + Math.abs(d[i + 2] - b) < 30) n++;
	return n;
})`

const (
	learnedLight = inked + "(213, 94, 0)"
	learnedDark  = inked + "(255, 138, 61)"
	wholePicture = `document.querySelector(".plot canvas").toDataURL()`
	noSideScroll = "document.documentElement.scrollWidth <= innerWidth"
)

// do runs a script for its effect.
func do(script string) action {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := chromedp.Evaluate[int](script+"; 0")(ctx, t)
		return err
	})
}

func TestReportOfARunInABrowser(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "quadratic")
	writeRun(t, dir, "learned")
	p := openReport(t, dir)
	p.shoot("run-light")
	p.want(`document.querySelector(".findings li").textContent.includes("won learned against nesterov")`, "the summary comes first, with its verdict")
	p.want(learnedLight+" > 200", "the learned rule's curve is drawn")
	p.want(`[...document.querySelectorAll("figure:not([hidden]) figcaption")].length >= 7`, "curves, training, norms and diagnostics")
	p.want(`document.querySelector(".problems").textContent.includes("gradient not finite at inner step 17")`, "what went wrong")
	p.want(`document.querySelector(".problems").textContent.includes("diverged in 1 of 20 runs")`, "what went wrong")
	p.want(`document.body.textContent.includes("metaopt meta-train --task quadratic")`, "the command")

	// Loss against wall time: a step of the learned rule takes 10 ms, one of the others 2.5 ms.
	p.want(`[...document.querySelectorAll(".findings li")].some((f) => f.textContent === "A step of learned takes 4 × as long as one of nesterov, on one core; the update is 80% of it.")`, "what a step costs")
	p.want(`[...document.querySelectorAll("tr")].some((r) => /^learned.*0\/201080 %$/.test(r.textContent)) && [...document.querySelectorAll("tr")].some((r) => /^sgd.*0\/20––$/.test(r.textContent))`, "times are in the table")
	p.want(`/adam ends at .* \(ms 250\).*$/.test(document.querySelector('[aria-label*="against wall time"].plot').getAttribute("aria-label"))`, "adam's curve ends after 250 ms")
	p.want(`/learned ends at .* \(ms 1000\)/.test(document.querySelector('[aria-label*="against wall time"].plot').getAttribute("aria-label"))`, "the learned rule's after a second")

	// Mouse and keyboard can hide and show a rule.
	p.click(`//button[contains(@class, "rule")][contains(., "learned")]`)
	p.want(learnedLight+" === 0", "a click takes the learned rule away")
	p.want(`document.querySelector(".rule").getAttribute("aria-pressed") === "false"`, "the button says so")
	p.run(chromedp.Focus(chromedp.CSS(".rule")), chromedp.KeyEvent(" "))
	p.want(learnedLight+" > 200", "the space key brings it back")

	// The log switch changes the picture and changes it back.
	before := eval[string](p, wholePicture)
	p.click(`//label[text()="log loss"]`)
	if eval[string](p, wholePicture) == before {
		t.Error("the log switch changes nothing")
	}
	p.click(`//label[text()="log loss"]`)
	if eval[string](p, wholePicture) != before {
		t.Error("the log switch does not go back")
	}

	// The arrow keys read out the curves.
	p.run(chromedp.Focus(chromedp.CSS(".plot")), chromedp.KeyEvent(kb.Home), chromedp.KeyEvent(kb.ArrowRight))
	p.want(`document.querySelector(".readout").textContent === "step 1"`, "the arrow key moves to the first step")
	p.want(`/learned 2\.59\d\d/.test(document.querySelector("figure .unseen").textContent)`, "it is read out") // 0.03 + 3.2 exp(-0.22)
	// So does the mouse.
	p.run(chromedp.ScrollIntoView(chromedp.CSS(".plot")))
	box := eval[map[string]float64](p, `(({x, y, width, height}) => ({x: x + width - 1, y: y + height / 2}))(document.querySelector(".u-over").getBoundingClientRect())`)
	p.run(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, box["x"]-20, box["y"]), chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, box["x"], box["y"]))
	p.until(`document.querySelector(".readout").textContent === "step 100"`)
	p.want(`document.querySelector(".rule .value").textContent === "0.0300"`, "the legend shows the value under the mouse")

	// The table of values opens.
	p.run(chromedp.Click(chromedp.CSS("figure .values summary")))
	p.until(`document.querySelectorAll("figure .values tbody tr").length >= 30`)
	p.want(`document.querySelector(".plot").getAttribute("aria-label").includes("learned ends at 0.0300")`, "the chart has a text")

	// A table sorts in both directions.
	first := `document.querySelector("section > div > .scroll tbody th").textContent`
	p.want(first+` === "learned"`, "the best rule is first")
	sort := `//table[caption[text()="Rules on the same fresh instances"]]//button[starts-with(., "rule")]`
	p.click(sort)
	p.want(first+` === "adam"`, "sorted by name")
	p.click(sort)
	p.want(first+` === "sgd"`, "sorted by name, the other way")
	p.want(`document.querySelector("section > div > .scroll th").getAttribute("aria-sort") === "descending"`, "the heading says so")
}

func TestThemes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "quadratic")
	writeRun(t, dir, "learned")
	p := openReport(t, dir)
	paper := "getComputedStyle(document.body).backgroundColor"
	p.want(paper+` === "rgb(255, 255, 255)"`, "light paper where the system is light")
	p.system("dark")
	p.until(paper + ` === "rgb(23, 24, 26)"`)
	p.until(learnedDark + " > 200")
	p.shoot("run-dark")
	p.run(chromedp.SetValue(chromedp.CSS("header select"), "light"), do(`document.querySelector("header select").dispatchEvent(new Event("change"))`))
	p.want(paper+` === "rgb(255, 255, 255)"`, "light paper where the reader wants it")
	p.want(learnedLight+" > 200", "curves for light paper")
	p.system("light")
	p.run(chromedp.SetValue(chromedp.CSS("header select"), "dark"), do(`document.querySelector("header select").dispatchEvent(new Event("change"))`))
	p.want(paper+` === "rgb(23, 24, 26)"`, "dark paper where the reader wants it")
	p.want(learnedDark+" > 200", "curves for dark paper")
}

func TestReportOfASweepInABrowser(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "generalization")
	writeSweep(t, dir, "mlp")
	p := openReport(t, dir)
	p.want(`document.querySelectorAll(".heat button").length === 15`, "a square for each cell of two axes")
	p.want(`document.querySelector(".heat button").textContent.includes("won")`, "the verdict is in words too")
	p.run(chromedp.Click(chromedp.CSS(`[data-cell="1"], .heat button`)))
	p.until(`document.querySelector(".detail h4")?.textContent.includes("units 5")`)
	p.until(learnedLight + " > 100")
	p.shoot("sweep-light")
	p.system("dark")
	p.until(learnedDark + " > 100")
	p.shoot("sweep-dark")
	p.system("light")
	// Another measure, another slice.
	set := func(label, value string) action {
		return do(`(() => {
			const s = document.getElementById([...document.querySelectorAll("label")].find((l) => l.textContent === "` + label + `").getAttribute("for"));
			s.value = [...s.options].find((o) => o.textContent.startsWith("` + value + `")).value;
			s.dispatchEvent(new Event("change"));
		})()`)
	}
	p.run(set("Show", "speed-up"))
	p.want(`document.querySelector(".heat button .big").textContent === "4×"`, "speed-up of the first cell, 2/0.5")
	p.want(`[...document.querySelectorAll(".heat .big")].some((e) => e.textContent.startsWith(">"))`, "lower bounds are marked")
	p.run(set("activation", "relu"))
	p.want(`document.querySelectorAll(".heat .empty").length === 2`, "the missing cell, and the one without a speed-up")
	p.run(set("Rows", "steps"))
	p.want(`document.querySelectorAll(".heat tbody tr").length === 3`, "the axes turn around")
	p.run(set("Show", "mean loss of mlp"))
	p.want(`document.querySelectorAll(".heat .diverged").length === 1`, "a diverged cell is marked")
	p.shoot("sweep-losses")
	p.want(`document.querySelector(".problems").textContent.includes("instance 0: loss not finite at step 12")`, "what went wrong")
	p.want(`document.querySelector(".findings").textContent.includes("29 of 30 cells")`, "what is missing")
}

func TestAPhone(t *testing.T) {
	dir := t.TempDir()
	writeRun(t, filepath.Join(dir, "run"), "learned")
	writeSweep(t, filepath.Join(dir, "a sweep with rather a long name_without_a_place_to_break_it_anywhere_in_it"), "mlp")
	p := openReport(t, filepath.Join(dir, "run"), filepath.Join(dir, "a sweep with rather a long name_without_a_place_to_break_it_anywhere_in_it"))
	for _, width := range []int64{360, 320} {
		p.size(width, 740, true)
		p.until("innerWidth <= " + "400")
		p.until(noSideScroll)
		p.until(`[...document.querySelectorAll(".plot .uplot")].every((u) => u.getBoundingClientRect().right <= innerWidth)`)
	}
	// If a table has more columns than fit on the screen, it scrolls in its own box.
	p.run(do(`{
		const s = document.getElementById([...document.querySelectorAll("label")].find((l) => l.textContent === "Columns").getAttribute("for"));
		s.value = "units";
		s.dispatchEvent(new Event("change"));
	}`))
	p.until(`document.querySelector(".heat").getBoundingClientRect().width > innerWidth`)
	p.want(noSideScroll, "the page does not scroll sideways for a wide heat map")
	p.want(`[...document.querySelectorAll("caption:not(.unseen), .control label")].filter((e) => e.checkVisibility()).every((e) => e.getBoundingClientRect().height < 60)`, "no caption and no label stands on end")
	p.size(360, 740, true)
	p.shoot("phone-light")
	p.system("dark")
	p.shoot("phone-dark")
	p.want(`document.querySelector("#headline").textContent === "Summary"`, "a summary of both folders first")
	p.want(`document.querySelectorAll("nav a").length === 2`, "links to both")
}

// The page has landmarks, headings in order, and a name on every control.
func TestAPageIsAccessible(t *testing.T) {
	dir := t.TempDir()
	writeRun(t, filepath.Join(dir, "run"), "learned")
	writeSweep(t, filepath.Join(dir, "sweep"), "mlp")
	p := openReport(t, filepath.Join(dir, "run"), filepath.Join(dir, "sweep"))
	p.run(chromedp.Click(chromedp.CSS(".heat button")))
	p.want(`["header", "nav", "main", "footer"].every((n) => document.querySelectorAll(n).length === 1)`, "landmarks")
	p.want(`document.documentElement.lang === "en" && document.title !== ""`, "language and title")
	p.want(`(() => {
		const levels = [...document.querySelectorAll("h1,h2,h3,h4")].filter((h) => h.checkVisibility()).map((h) => Number(h.tagName[1]));
		return levels[0] === 1 && levels.every((l, i) => i === 0 || l <= levels[i - 1] + 1);
	})()`, "headings skip no level")
	p.want(`[...document.querySelectorAll("table")].every((t) => t.caption?.textContent)`, "every table has a caption")
	p.want(`[...document.querySelectorAll("select, input")].every((c) => c.labels.length === 1 && c.labels[0].textContent)`, "every control has a label")
	p.want(`[...document.querySelectorAll("button")].every((b) => b.textContent.trim())`, "every button has a text")
	p.want(`[...document.querySelectorAll("figure:not([hidden]) .plot")].every((c) => c.getAttribute("aria-label").length > 40)`, "every chart has a text")
	p.want(`new Set([...document.querySelectorAll("[id]")].map((e) => e.id)).size === document.querySelectorAll("[id]").length`, "ids are unique")
	// The focus is visible.
	p.run(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Tab))
	p.want(`getComputedStyle(document.activeElement).outlineStyle === "solid"`, "the focus is outlined")
	// Text has enough contrast with its background, by WCAG's ratio, in both themes.
	for _, scheme := range []string{"light", "dark"} {
		p.system(scheme)
		p.until(`matchMedia("(prefers-color-scheme: ` + scheme + `)").matches`)
		if low := eval[[]string](p, contrasts); len(low) > 0 {
			t.Errorf("%s: too little contrast: %q", scheme, low)
		}
	}
}

// contrasts returns the texts whose contrast ratio is below 4.5.
const contrasts = `(() => {
	const parse = (c) => c.match(/[\d.]+/g).map(Number);
	const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const paper = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
	const low = [];
	for (const e of document.querySelectorAll("body *")) {
		if (!e.checkVisibility() || ![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
		const a = light(parse(getComputedStyle(e).color)), b = light(paper(e));
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) low.push(e.className + " " + e.textContent.slice(0, 30) + " " + ratio.toFixed(2));
	}
	return low;
})()`

func TestHostileNamesDoNothing(t *testing.T) {
	dir := t.TempDir()
	run, sweep := filepath.Join(dir, "run<b>"), filepath.Join(dir, "sweep")
	writeRun(t, run, hostile)
	appendTo(t, filepath.Join(run, logFile), line(t, map[string]any{"event": "end", "reason": hostile, "error": hostile}))
	writeSweep(t, sweep, hostile)
	write(t, filepath.Join(sweep, sweepFile), line(t, map[string]any{hostile: hostile, "axes": []any{map[string]any{"name": hostile, "values": []string{hostile}}}}))
	p := openReport(t, run, sweep)
	p.want(`window.hacked === undefined && !document.querySelector("img, b")`, "names are text")
	p.want(`[...document.querySelectorAll(".rule .name")].some((e) => e.textContent.startsWith("</script><img src=x onerror="))`, "the name is there, as text")
	p.want(`document.querySelectorAll("script").length === 3`, "no other script")
}

// The second defence: even if markup got into a page, it could neither run nor load anything.
func TestThePolicyIsAWall(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	writeRun(t, dir, "learned")
	p := openReport(t, dir)
	p.tolerate = func(e *log.Entry) bool { return strings.Contains(e.Text, "Content Security Policy") }
	for what, script := range map[string]string{
		"an inline handler": `(() => { const b = document.createElement("div"); b.setAttribute("onclick", "window.hacked = 1"); document.body.append(b); b.click(); })()`,
		"a script":          `(() => { const s = document.createElement("script"); s.textContent = "window.hacked = 1"; document.body.append(s); })()`,
		"a picture":         `(() => { const i = document.createElement("img"); i.src = "http://127.0.0.1:9/x"; document.body.append(i); })()`,
		"a connection":      `fetch("http://127.0.0.1:9/x").catch(() => 0)`,
	} {
		p.run(do(`window.blocked = 0; document.addEventListener("securitypolicyviolation", () => window.blocked++)`), do(script))
		p.until("window.blocked > 0")
		p.want("window.hacked === undefined", what+" is blocked")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = slices.DeleteFunc(p.faults, func(f string) bool { return strings.HasPrefix(f, "request for http://127.0.0.1:9/") }) // announced, and then blocked
}

// Losses below 0 are there from the start: the axis is logarithmic only where all losses are positive, or where the reader wants it.
func TestNegativeLossesInABrowser(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	log := startLine(1)
	for k := range 20 {
		log += line(t, metatrain.Event{Kind: metatrain.EventEpisode, MetaStep: 5*k + 5, Episode: k, MeanLoss: compare.Number(2 - 0.3*float64(k)), GradNorm: 1})
	}
	write(t, filepath.Join(dir, logFile), log)
	p := openReport(t, dir)
	const figure = `[...document.querySelectorAll("figure")].find((f) => f.querySelector("figcaption").textContent === "Losses of episodes and validations")`
	const box = figure + `.querySelector("input")`
	p.want("!"+box+".checked", "the axis is linear")
	p.want(figure+`.querySelector(".plot").getAttribute("aria-label").includes("episodes ends at -3.7")`, "the last loss is there")
	p.shoot("negative")
	p.run(do(box + ".click()"))
	p.want(box+".checked", "the reader may want the other axis")
}

// Noisy curves are drawn as averages before their faint points, and the reader can have the points instead. Values stay those of the points.
func TestNoisyCurvesInABrowser(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	log := startLine(1)
	for k := range 201 {
		loss := (0.3 + 2*math.Exp(-float64(k)/20)) * (1 + 0.4*math.Sin(float64(k*k)))
		log += line(t, metatrain.Event{Kind: metatrain.EventEpisode, MetaStep: 5*k + 5, Episode: k, MeanLoss: compare.Number(loss), GradNorm: 1})
	}
	write(t, filepath.Join(dir, logFile), log)
	p := openReport(t, dir)
	const figure = `[...document.querySelectorAll("figure")].find((f) => f.querySelector("figcaption").textContent === "Losses of episodes and validations")`
	const picture = figure + `.querySelector("canvas").toDataURL()`
	p.want(figure+`.querySelector(".readout").textContent.includes("means of 11 points; faint: each point")`, "it says what the lines are")
	before := eval[string](p, picture)
	p.shoot("noisy")
	const box = `[...` + figure + `.querySelectorAll("label")].find((l) => l.textContent === "averages").parentElement.querySelector("input")`
	p.run(do(box + ".click()"))
	p.want(`!`+figure+`.querySelector(".readout").textContent.includes("means")`, "the lines are the points")
	if eval[string](p, picture) == before {
		t.Error("the picture is the same without averages")
	}
	p.run(do(figure + `.querySelector(".values").open = true`))
	p.until(`Number(` + figure + `.querySelector("tbody tr td:last-child")?.textContent) === 2.3`)
}
