package htmlreport

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// screenshotsEnv is the environment variable that names a folder for screenshots of the tested pages.
const screenshotsEnv = "METAOPT_SCREENSHOTS"

var (
	browserOnce sync.Once
	browserCtx  context.Context
	browserStop = func() {}
	browserErr  error
)

// TestMain closes the browser after all tests.
func TestMain(m *testing.M) {
	code := m.Run()
	browserStop()
	os.Exit(code)
}

// browser returns the context of one Chromium for all tests.
func browser(t *testing.T) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("starts Chromium; not with -short")
	}
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "headless-shell"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium: install it (Debian: apt-get install chromium) to test pages in a browser")
	}
	browserOnce.Do(func() {
		options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.WSURLReadTimeout(2*time.Minute))
		ctx, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
		ctx, stopBrowser := chromedp.NewContext(ctx, chromedp.WithErrorf(func(string, ...any) {}))
		browserStop = func() { stopBrowser(); stopAllocator() }
		browserCtx, browserErr = ctx, chromedp.Do(ctx)
	})
	if browserErr != nil {
		t.Fatal("Chromium does not start: ", browserErr)
	}
	return browserCtx
}

// A tab is a page under test. At the end of the test it reports every console error,
// every exception and every request that is not allowed as a failure.
type tab struct {
	*testing.T
	ctx context.Context

	mu       sync.Mutex
	tolerate func(*log.Entry) bool // whether a console message is expected
	faults   []string
	requests []string
}

// newTab opens a tab. allowed reports whether the page may make a request.
func newTab(t *testing.T, allowed func(url string) bool) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser(t), chromedp.WithNewBrowserContext()) // with its own storage
	if err := chromedp.Do(ctx); err != nil {                                         // without a limit: see chromedp.Run
		t.Fatal(err)
	}
	limited, stop := context.WithTimeout(ctx, 2*time.Minute)
	p := &tab{T: t, ctx: limited}
	t.Cleanup(func() {
		stop()
		cancel()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, f := range p.faults {
			t.Error(f)
		}
	})
	err := chromedp.Listen(ctx, func(event any) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			p.faults = append(p.faults, fmt.Sprintf("exception: %s %+v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
				p.faults = append(p.faults, fmt.Sprintf("console %s: %+v", e.Type, e.Args))
			}
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError && !(p.tolerate != nil && p.tolerate(e.Entry)) {
				p.faults = append(p.faults, "console: "+e.Entry.Text)
			}
		case *network.EventRequestWillBeSent:
			p.requests = append(p.requests, e.Request.URL)
			if !strings.HasPrefix(e.Request.URL, "data:") && !allowed(e.Request.URL) {
				p.faults = append(p.faults, "request for "+e.Request.URL)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	p.run(call(network.Enable, network.EnableParams{}), call(log.Enable, cdp.Empty{}), call(runtime.Enable, cdp.Empty{}))
	return p
}

// An action does something in a tab.
type action = chromedp.Action[chromedp.Void]

// call returns an action that sends one command of the protocol.
func call[P any](c cdp.Command[P, cdp.Empty], params P) action {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

func (p *tab) run(actions ...action) {
	p.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.Fatal(err)
	}
}

// click clicks the first element that an XPath finds.
func (p *tab) click(xpath string) {
	p.Helper()
	p.run(chromedp.Click(xpath))
}

// eval evaluates an expression.
func eval[T any](p *tab, expression string) T {
	p.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits for an expression to be true.
func (p *tab) until(expression string) {
	p.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		now, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		switch {
		case err != nil && !leaving(err):
			p.Fatalf("%s: %v", expression, err)
		case err == nil && now:
			return
		case time.Now().After(deadline):
			p.Fatalf("never true: %s", expression)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// leaving says that the page was being left for another one: what was asked of it has no answer.
func leaving(err error) bool {
	text := err.Error()
	return strings.Contains(text, "navigated or closed") || strings.Contains(text, "Cannot find context") || strings.Contains(text, "context was destroyed")
}

// want fails unless an expression is true.
func (p *tab) want(expression, complaint string) {
	p.Helper()
	if !eval[bool](p, "!!("+expression+")") {
		p.Errorf("%s: not true: %s", complaint, expression)
	}
}

func (p *tab) size(width, height int64, mobile bool) {
	p.Helper()
	p.run(chromedp.EmulateViewport(width, height, func(m *emulation.SetDeviceMetricsOverrideParams, _ *emulation.SetTouchEmulationEnabledParams) {
		m.Mobile = mobile
	}))
}

// system sets the colour scheme of the system.
func (p *tab) system(scheme string) {
	p.Helper()
	p.run(call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}))
}

// shoot writes a screenshot of the whole page if screenshotsEnv is set.
func (p *tab) shoot(name string) {
	p.Helper()
	dir := os.Getenv(screenshotsEnv)
	if dir == "" {
		return
	}
	time.Sleep(150 * time.Millisecond)
	picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
		p.Fatal(err)
	}
}

// openReport writes a report of the given folders and opens its file.
func openReport(t *testing.T, dirs ...string) *tab {
	t.Helper()
	var page Page
	for _, dir := range dirs {
		s, err := Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		page.Sources = append(page.Sources, s)
	}
	page.Version = "v1.2.3"
	var b bytes.Buffer
	if err := Write(&b, page); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "report.html")
	write(t, path, b.String())
	address := (&url.URL{Scheme: "file", Path: path}).String()
	p := newTab(t, func(u string) bool { return u == address })
	p.size(1280, 900, false)
	p.system("light")
	p.run(chromedp.Navigate(address))
	p.until("document.querySelector('article')")
	return p
}
