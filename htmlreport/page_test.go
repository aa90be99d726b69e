package htmlreport

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// written returns the page of the given folders.
func written(t *testing.T, title string, dirs ...string) string {
	t.Helper()
	p := Page{Title: title, Version: "v1.2.3"}
	for _, dir := range dirs {
		s, err := Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		p.Sources = append(p.Sources, s)
	}
	var b bytes.Buffer
	if err := Write(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var dataElement = regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`)

func TestNothingEndsTheDataElement(t *testing.T) {
	run, sweep := filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "sweep")
	writeRun(t, run, hostile)
	writeSweep(t, sweep, hostile)
	html := written(t, hostile, run, sweep)
	found := dataElement.FindStringSubmatch(html)
	if found == nil {
		t.Fatal("no data")
	}
	for _, c := range []string{"<", ">", "&", "\u2028", "\u2029"} {
		if strings.Contains(found[1], c) {
			t.Errorf("the data hold %q", c)
		}
	}
	var p struct{ Title string }
	if err := json.Unmarshal([]byte(found[1]), &p); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(p.Title, "</script><img src=x onerror=") {
		t.Errorf("the title is lost: %q", p.Title)
	}
	if got := strings.Count(html, "<script"); got != 3 || strings.Count(html, "</script") != 3 {
		t.Errorf("%d scripts", got)
	}
	if got := strings.Count(html, "<img"); got != 5 || strings.Count(html, `<img src="data:image/svg&#43;xml;base64,`) != 5 {
		t.Errorf("%d images; want the page's own five", got)
	}
	if strings.Count(html, "</noscript") != 1 {
		t.Error("something ends the noscript element")
	}
	if !strings.Contains(html, "<title>&lt;/script&gt;&lt;img") {
		t.Error("the title is not escaped")
	}
}

func TestThePolicyNamesTheScripts(t *testing.T) {
	html := written(t, "")
	elements := regexp.MustCompile(`(?s)<(script|style)>(.*?)</`).FindAllStringSubmatch(html, -1)
	if len(elements) != 3 {
		t.Fatalf("%d elements", len(elements))
	}
	policy := regexp.MustCompile(`http-equiv="Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(html)[1]
	policy = strings.ReplaceAll(policy, "&#39;", "'")
	for _, e := range elements {
		sum := sha256.Sum256([]byte(e[2]))
		if want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, e[1]+"-src ") || !strings.Contains(policy, want) {
			t.Errorf("%s has no %s for a %s", policy, want, e[1])
		}
	}
	for _, word := range []string{"default-src 'none'", "connect-src 'none'", "base-uri 'none'", "form-action 'none'"} {
		if !strings.Contains(policy, word) {
			t.Errorf("%s has no %s", policy, word)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Error("the policy allows what it should not: ", policy)
	}
}

func TestTheFileNamesNoOther(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	writeRun(t, dir, "learned")
	html := dataElement.ReplaceAllString(written(t, "", dir), "")
	if found := regexp.MustCompile(`(?i)(src|href)=["']?[^"'#d]|url\(|@import|\bimport\(|importScripts`).FindAllString(html, -1); len(found) > 0 {
		t.Errorf("%q", found)
	}
	for _, link := range regexp.MustCompile(`https?://[^\s"'<]*`).FindAllString(html, -1) {
		if link != "http://www.w3.org/2000/svg" && link != "https://github.com/leeoniya/uPlot" { // a name of things, and a comment
			t.Errorf("the page names %s", link)
		}
	}
	if !strings.Contains(html, "Copyright (c) 2022 Leon Sorokin") {
		t.Error("the licence of uPlot is not beside it")
	}
}

func TestTheSameFoldersGiveTheSameBytes(t *testing.T) {
	run, sweep := filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "sweep")
	writeRun(t, run, "learned")
	writeSweep(t, sweep, "mlp")
	first := written(t, "", run, sweep)
	for range 3 {
		if written(t, "", run, sweep) != first {
			t.Fatal("the page differs")
		}
	}
	t.Logf("page of a run and a sweep: %d bytes, without data %d", len(first), len(written(t, "")))
}

func TestVendoredFilesAreAsListed(t *testing.T) {
	list, err := os.ReadFile("assets/vendor/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"uPlot.iife.min.js", "uPlot.min.css"} {
		data, err := assets.ReadFile("assets/vendor/" + name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		if !strings.Contains(string(list), hex.EncodeToString(sum[:])+"  "+name) {
			t.Errorf("%s is not the one of README.md", name)
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"a\x00b\x1b[31m\u202ec\u2066": "a\ufffdb\ufffd[31m\ufffdc\ufffd", "two\nlines": "two\nlines", "\xff": "\ufffd", "äöüß": "äöü…",
	} {
		max := 20
		if want == "äöü…" {
			max = 3
		}
		if got := clean(in, max); got != want {
			t.Errorf("clean(%q) is %q, want %q", in, got, want)
		}
	}
}

func TestNumbersInPages(t *testing.T) {
	data, err := json.Marshal([]Num{1, 0.1234567, 1e-9, 1e30, nan, Num(0)})
	if err != nil || string(data) != "[1,0.1234567,1e-09,1e+30,null,0]" {
		t.Errorf("%s, %v", data, err)
	}
}
