package htmlreport

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"learnedopt/compare"
	"learnedopt/sweep/results"
)

// Rules have the colours that pictures give them: by their order in the comparison or sweep, not by how they did.
func TestStylesFollowTheOrderOfRules(t *testing.T) {
	c := exampleComparison("worse")
	better := c.Rules[0]
	better.Name, better.MeanLoss = "better", better.MeanLoss/2
	c.Rules = append(c.Rules, better)
	r, err := decodeResult([]byte(line(t, map[string]any{"comparison": c})))
	if err != nil {
		t.Fatal(err)
	}
	if first := r.comparison.Rules[0].Name; first != "better" {
		t.Fatalf("the first rule is %q", first)
	}
	want := map[string]int{"worse": 0, "better": 1, "nesterov": 0, "adam": 1, "sgd": 2, "rmsprop": 3}
	if !maps.Equal(r.comparison.Styles, want) {
		t.Errorf("a run's rules have the places %v, want %v", r.comparison.Styles, want)
	}
	// The picture without scripts has the same colours: the curve of "worse" is drawn in the first one.
	svg := pictureText(t, pictures(&Source{Run: &Run{Comparison: r.comparison}})[0])
	orange, blue := strings.Index(svg, "stroke:#D55E00"), strings.Index(svg, "stroke:#0072B2")
	if order := strings.Index(svg, ">worse<") < strings.Index(svg, ">better<"); orange < 0 || blue < orange || !order {
		t.Errorf("orange at %d, blue at %d, worse before better: %v", orange, blue, order)
	}

	m := newManifest("worse")
	m.Rules = slices.Insert(m.Rules, 1, results.Rule{Name: "better", Kind: compare.Learned})
	cells := ""
	for i := range m.Cells {
		m.Cells[i].Keys = slices.Insert(m.Cells[i].Keys, 1, fmt.Sprintf("better %d", i))
	}
	record := newRecord(5, 100, "sigmoid", "better", compare.Learned, 0.1, 0)
	record.Key = m.Cells[0].Keys[1]
	cells += cellRecord(t, 5, 100, "sigmoid", "worse", compare.Learned, 0.5, 0) + line(t, record) + cellRecord(t, 5, 100, "sigmoid", "adam", compare.Baseline, 0.9, 0)
	s := readSweep(t, line(t, m), cells).Sweep
	if first := s.Cells[0].Rules[0].Name; first != "better" {
		t.Fatalf("the first rule is %q", first)
	}
	want = map[string]int{"worse": 0, "better": 1, "adam": 1, "sgd": 2}
	if !maps.Equal(s.Styles, want) {
		t.Errorf("a sweep's rules have the places %v, want %v", s.Styles, want)
	}
	// Without sweep.json it is the order in which they come.
	if s := readSweep(t, "", cells).Sweep; s.Styles["worse"] != 0 || s.Styles["better"] != 1 || s.Styles["adam"] != 1 {
		t.Errorf("without sweep.json the places are %v", s.Styles)
	}
}

func pictureText(t *testing.T, p picture) string {
	t.Helper()
	_, encoded, _ := strings.Cut(string(p.Source), "base64,")
	svg, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || !bytes.Contains(svg, []byte("<svg")) {
		t.Fatalf("%s is no picture: %v", p.Title, err)
	}
	return string(svg)
}

// The best tuned rule of each cell is there as in heat maps of pictures.
func TestBestRuleOfACell(t *testing.T) {
	s := readSweep(t, sweepText(t), cellRecord(t, 5, 100, "sigmoid", "mlp", compare.Learned, 0.5, 0)+
		cellRecord(t, 5, 100, "sigmoid", "sgd", compare.Baseline, 0.7, 0)+cellRecord(t, 5, 100, "sigmoid", "adam", compare.Baseline, 0.9, 0)).Sweep
	if b := s.Cells[0].Best; len(b) != 1 || b[0].Learned != "mlp" || b[0].Baseline != "sgd" || b[0].Verdict != won || !(b[0].Ratio > 0.7 && b[0].Ratio < 0.72) {
		t.Errorf("best %+v, want mlp won against sgd with 5/7 of its mean loss", b)
	}
}

// Pictures of sweeps in pages without scripts are bounded, and a sweep.json that contradicts itself gives none.
func TestPicturesOfSweepsAreBounded(t *testing.T) {
	if m := drawable(newManifest("mlp")); m == nil || len(m.Cells) != 30 {
		t.Fatal("a sweep of 30 cells is not drawn")
	}
	for what, change := range map[string]func(*results.Manifest){
		"a cell is missing":     func(m *results.Manifest) { m.Cells = m.Cells[1:] },
		"a cell is there twice": func(m *results.Manifest) { m.Cells[1].Values = m.Cells[0].Values },
		"a cell has a value that the axis does not have": func(m *results.Manifest) {
			m.Cells[1].Values = map[string]string{"units": "6", "steps": "100", "activation": "relu"}
		},
		"a cell has no value": func(m *results.Manifest) { m.Cells[1].Values = nil },
		"huge axes": func(m *results.Manifest) {
			for k := range 20 {
				m.Axes = append(m.Axes, results.Axis{Key: fmt.Sprint(k), Values: make([]string, 4000)})
			}
		},
		"two names become one": func(m *results.Manifest) { m.Rules[1].Name, m.Rules[2].Name = "a\x00", "a\x01" },
		"many cells": func(m *results.Manifest) {
			for len(m.Cells) <= maxHeatCells {
				m.Cells = append(m.Cells, m.Cells...)
			}
		},
	} {
		m := newManifest("mlp")
		change(m)
		if drawable(m) != nil {
			t.Errorf("%s, and it is drawn", what)
		}
	}
	if drawable(nil) != nil {
		t.Error("no sweep.json is drawn")
	}
}

// On the page a sweep's heat map has the axes and the colours of the picture.
func TestASweepLooksAsItsPictureInABrowser(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "grid")
	writeSweep(t, dir, "mlp")
	p := openReport(t, dir)
	p.want(`[...document.querySelectorAll(".heat thead th")].map((h) => h.textContent).join() === "units 5,units 10,units 20,units 40,units 80"`, "the first axis runs along x")
	p.want(`[...document.querySelectorAll(".heat tbody th")].map((h) => h.textContent).join() === "100,1000,10000"`, "the second axis runs along y")
	p.want(`document.getElementById([...document.querySelectorAll("label")].find((l) => l.textContent === "Show").getAttribute("for")).selectedOptions[0].textContent === "mean loss, mlp ÷ the best tuned rule"`, "the first measure is the picture's")
	const colour = `((b) => getComputedStyle(b).backgroundColor)([...document.querySelectorAll(".heat button")]`
	p.want(colour+`.find((b) => b.textContent.startsWith("div."))) === "rgb(255, 236, 120)"`, "a rule that diverged has the end of the scale")
	p.want(colour+`.find((b) => b.textContent.startsWith("0.556"))) === "rgb(26, 65, 121)"`, "0.5/0.9 on a scale up to 2")
	p.run(do(`document.querySelector(".heat button").click()`))
	p.until(`document.querySelector(".detail .legend button line")?.getAttribute("stroke")`)
	p.want(`[...document.querySelectorAll(".detail .legend button")].map((b) => b.querySelector(".name").textContent + b.querySelector("line").getAttribute("stroke")).slice(0, 3).join() === "mlp#d55e00,adam#3a9bd1,sgd#b5558b"`, "curves have the colours of the pictures")
	p.shoot("sweep-as-picture")
}
