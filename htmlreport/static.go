package htmlreport

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"html/template"
	"slices"

	"learnedopt/report"
)

// static is what a file shows without scripts: the same findings, tables and pictures, and where they come from.
var static = template.Must(template.New("static").Funcs(template.FuncMap{
	"digits":  digits,
	"percent": func(x *Num) string { return fmt.Sprintf("%.2f %%", 100*float64(*x)) },
	"rate":    func(x *Num) string { return fmt.Sprintf("%.3g", float64(*x)) },
}).Parse(`<p>Without its script this page has no live charts; everything else is here.</p>
<main>
{{- range .}}
<article>
<h2>{{.Name}} <span class="kind">{{.Kind}}{{with .State}}, {{.}}{{end}}</span></h2>
<section><h3>Summary</h3>
<ul class="findings">{{range .Summary}}<li>{{with .Verdict}}<span class="badge">{{.}}</span> {{end}}{{.Text}}</li>{{end}}</ul></section>
{{- with .Pictures}}{{range .}}
<figure><figcaption>{{.Title}}</figcaption><img src="{{.Source}}" alt="{{.Title}}: the tables have the numbers"></figure>
{{- end}}{{end}}
{{- with .Run}}
{{- with .Comparison}}
<table><caption>{{.Task}}: {{.Steps}} steps, averages over {{.Runs}} fresh instances of seed {{.Seed}}</caption>
<thead><tr><th>rule</th><th>learning rate</th><th>mean loss</th><th>final loss</th><th>diverged</th><th>valid loss</th><th>test accuracy</th></tr></thead>
<tbody>{{range .Rules}}<tr><td>{{.Name}}</td><td>{{with .LearningRate}}{{rate .}}{{else}}{{with .Multiplier}}× {{rate .}}{{else}}–{{end}}{{end}}</td><td>{{digits .MeanLoss}}</td><td>{{digits .FinalLoss}}</td><td>{{.Diverged}}/{{.Runs}}</td><td>{{with .ValidLoss}}{{digits .}}{{else}}–{{end}}</td><td>{{with .TestAccuracy}}{{percent .}}{{else}}–{{end}}</td></tr>{{end}}</tbody></table>
{{- end}}
<table><caption>Meta-training</caption>
<thead><tr><th>seed</th><th>meta-steps</th><th>ended by</th><th>validation loss before</th><th>best</th><th>at meta-step</th></tr></thead>
<tbody>{{range .Trainings}}<tr><td>{{.Seed}}</td><td>{{.MetaStep}}</td><td>{{or .Reason "–"}}</td><td>{{digits .Start}}</td><td>{{digits .Valid}}</td><td>{{.Best}}</td></tr>{{end}}</tbody></table>
{{- end}}
{{- with .Sweep}}
<table><caption>Mean loss of each rule in each cell</caption>
<thead><tr><th>cell</th><th>rule</th><th>learning rate</th><th>mean loss</th><th>final loss</th><th>diverged</th></tr></thead>
<tbody>{{range .Cells}}{{$name := .Name}}{{range .Rules}}<tr><td>{{$name}}</td><td>{{.Name}}</td><td>{{with .LearningRate}}{{rate .}}{{else}}{{with .Multiplier}}× {{rate .}}{{else}}–{{end}}{{end}}</td><td>{{digits .MeanLoss}}</td><td>{{digits .FinalLoss}}</td><td>{{.Diverged}}/{{.Runs}}</td></tr>{{end}}{{end}}</tbody></table>
<table><caption>Ratios of mean losses, learned to hand-designed</caption>
<thead><tr><th>cell</th><th>learned</th><th>against</th><th>ratio</th><th>95 % interval</th><th></th></tr></thead>
<tbody>{{range .Cells}}{{$name := .Name}}{{range .Pairs}}<tr><td>{{$name}}</td><td>{{.Learned}}</td><td>{{.Baseline}}</td><td>{{digits .Ratio}}</td><td>{{digits (index .CI95 0)}}–{{digits (index .CI95 1)}}</td><td>{{.Verdict}}</td></tr>{{end}}{{end}}</tbody></table>
{{- end}}
<section><h3>What went wrong</h3>
{{- if .Problems}}<ul class="problems">{{range .Problems}}<li><strong>{{.Where}}</strong>: {{.What}}</li>{{end}}{{with .More}}<li>and {{.}} more</li>{{end}}</ul>
{{- else}}<p>Nothing: no divergence, no non-finite window, no line that could not be read.</p>{{end}}</section>
<section><h3>Provenance</h3>
{{- with .Run}}{{with .Command}}<p><code>{{.}}</code></p>{{end}}{{end}}
{{- with .Files}}<table><caption>Files, with SHA-256</caption><tbody>{{range .}}<tr><td>{{.Name}}</td><td>{{.Size}} bytes</td><td><code>{{.SHA256}}</code></td></tr>{{end}}</tbody></table>{{end}}
{{- range .Settings}}<details><summary>Settings{{with .Of}} of seed {{.}}{{end}}</summary><table><tbody>{{range .All}}<tr><td>{{.Name}}</td><td>{{.Value}}</td></tr>{{end}}</tbody></table></details>{{end}}</section>
</article>
{{- end}}
</main>
<footer>`))

// A picture is a chart as an image in the page itself.
type picture struct {
	Title  string
	Source template.URL
}

// writeStatic writes the sources as HTML that needs no script.
func writeStatic(b *bytes.Buffer, p Page) error {
	type settings struct {
		Of  string
		All []Setting
	}
	type page struct {
		*Source
		Pictures []picture
		Settings []settings
	}
	var pages []page
	for _, s := range p.Sources {
		one := page{Source: s, Pictures: pictures(s)}
		if s.Run != nil {
			for _, t := range s.Run.Trainings {
				one.Settings = append(one.Settings, settings{t.Seed, t.Settings})
			}
		}
		if s.Sweep != nil {
			one.Settings = append(one.Settings, settings{All: s.Sweep.Settings})
		}
		pages = append(pages, one)
	}
	if err := static.Execute(b, pages); err != nil {
		return fmt.Errorf("htmlreport: %w", err)
	}
	template.HTMLEscape(b, fmt.Appendf(nil, "Made by metaopt %s.", p.Version))
	b.WriteString("</footer>")
	return nil
}

// embedded returns a picture as the address of an image in the page itself.
func embedded(plot *report.Plot) (template.URL, error) {
	var b bytes.Buffer
	if err := plot.Encode(&b, report.SVG); err != nil {
		return "", err
	}
	return template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(b.Bytes())), nil
}

// pictures draws a run's learning curves and its training, or a sweep. A chart that cannot be drawn, because all its values are non-finite or
// its data contradict each other, is left out.
func pictures(s *Source) (all []picture) {
	if s.Sweep != nil {
		return sweepPictures(s.Sweep)
	}
	if s.Run == nil {
		return nil
	}
	draw := func(title string, series []report.Series, o report.CurveOptions) {
		o.Width, o.Height = 900, 420
		plot, err := report.Curves(title, series, o)
		if err != nil {
			return
		}
		all = addPicture(all, title, plot)
	}
	if c := s.Run.Comparison; c != nil {
		var series []report.Series
		for _, r := range c.Rules {
			if r.Curve != nil {
				series = append(series, r.series())
			}
		}
		// In the order of their places every learned rule has the colour that it has elsewhere.
		slices.SortStableFunc(series, func(a, b report.Series) int { return cmp.Compare(c.Styles[a.Name], c.Styles[b.Name]) })
		draw("Learning curves on fresh instances, with 95 % intervals", series, report.CurveOptions{})
	}
	var series []report.Series
	for t, training := range s.Run.Trainings {
		name := "validation"
		if len(s.Run.Trainings) > 1 {
			name += ", seed " + training.Seed
		}
		one := report.Series{Name: name, Learned: true}
		for _, v := range s.Run.Validations {
			if v.Training == t {
				one.X, one.Mean = append(one.X, float64(v.MetaStep)), append(one.Mean, float64(v.Loss))
			}
		}
		if len(one.X) > 0 {
			series = append(series, one)
		}
	}
	draw("Losses of validations", series, report.CurveOptions{XLabel: "meta-step", YLabel: "loss"})
	return all
}

// series returns a rule's learning curve.
func (r *Rule) series() report.Series {
	s := report.Series{Name: r.Name, Learned: r.Learned}
	for i, step := range r.Curve.Steps {
		s.X, s.Mean = append(s.X, float64(step)), append(s.Mean, float64(r.Curve.Mean[i]))
	}
	for i := range r.Curve.Lo {
		s.Lo, s.Hi = append(s.Lo, float64(r.Curve.Lo[i])), append(s.Hi, float64(r.Curve.Hi[i]))
	}
	return s
}
