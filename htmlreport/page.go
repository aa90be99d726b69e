package htmlreport

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"strings"
	"sync"
)

//go:embed assets/*.js assets/*.css assets/vendor/uPlot.iife.min.js assets/vendor/uPlot.min.css assets/vendor/uPlot.LICENSE.txt
var assets embed.FS

// scripts are the parts of the page's own script; a part may use the parts before it.
var scripts = []string{"dom", "theme", "table", "series", "chart", "run", "heatmap", "sweep", "page"}

// A Page is the content of a page that Write writes.
type Page struct {
	// Title is the page's heading, empty for "Report of metaopt".
	Title string `json:"title"`
	// Version is the version of the program.
	Version string    `json:"version"`
	Sources []*Source `json:"sources"`

	// Live is the address of the stream from which a page of the dashboard gets a folder's news. List is the address of the
	// stream of the list of folders. Both are empty for a file.
	Live string `json:"live,omitempty"`
	List string `json:"list,omitempty"`
	// Home is the address of the list of folders, relative to a page of the dashboard that shows one folder; empty elsewhere.
	Home string `json:"home,omitempty"`
}

// front returns the parts that all pages share: the scripts, the style, and the policy that names them. The policy ends before
// the sources of connect-src.
var front = sync.OnceValue(func() (f struct{ library, own, style, licence, policy string }) {
	read := func(name string) string {
		data, err := assets.ReadFile("assets/" + name)
		if err != nil {
			panic("htmlreport: " + err.Error())
		}
		return string(data)
	}
	f.library, f.licence = read("vendor/uPlot.iife.min.js"), read("vendor/uPlot.LICENSE.txt")
	f.style = read("vendor/uPlot.min.css") + "\n" + read("page.css")
	var own strings.Builder
	own.WriteString("(() => {\n\"use strict\";\n")
	for _, name := range scripts {
		own.WriteString(read(name + ".js"))
	}
	own.WriteString("})();\n")
	f.own = own.String()
	digest := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	f.policy = fmt.Sprintf("default-src 'none'; script-src %s %s; style-src %s; img-src data:; base-uri 'none'; form-action 'none'; connect-src ",
		digest(f.library), digest(f.own), digest(f.style))
	return f
})

// policy returns the Content-Security-Policy: it allows the page's own scripts and style and nothing else. Only pages of the
// dashboard may open connections, to the dashboard itself.
func policy(live bool) string {
	connect := "'none'"
	if live {
		connect = "'self'"
	}
	return front().policy + connect
}

// Write writes the page as one HTML file that loads no other file. The same page gives the same bytes.
func Write(w io.Writer, p Page) error {
	if p.Title == "" {
		p.Title = "Report of metaopt"
	}
	p.Title = clean(p.Title, maxName)
	if p.Sources == nil {
		p.Sources = []*Source{}
	}
	// Marshal escapes <, >, & and the line separators U+2028 and U+2029, so that no value can end the script element.
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("htmlreport: %w", err)
	}
	f := front()
	var b, still bytes.Buffer
	if p.Live != "" || p.List != "" {
		still.WriteString("<p>This page shows what is going on, with a script that it brings along. Allow scripts to see it; metaopt report makes a file that needs none.</p>")
	} else if err := writeStatic(&still, p); err != nil {
		return err
	}
	fmt.Fprintf(&b, `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="%s">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>%s</title>
<link rel="icon" href="data:,">
<style>%s</style>
</head>
<body>
<noscript>
<header><h1>%s</h1></header>
%s
</noscript>
<div id="app"></div>
<script type="application/json" id="data">%s</script>
<!-- uPlot 1.6.32
%s-->
<script>%s</script>
<script>%s</script>
</body>
</html>
`, html.EscapeString(policy(p.Live != "" || p.List != "")), html.EscapeString(p.Title), f.style, html.EscapeString(p.Title), still.Bytes(), data, f.licence, f.library, f.own)
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("htmlreport: %w", err)
	}
	return nil
}
