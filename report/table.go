package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// Table writes rows under a header as aligned text without borders. A column
// is aligned to the right if each of its cells is empty or begins like a
// number; otherwise it is aligned to the left. It is an error if a row is longer or shorter than
// the header.
func Table(w io.Writer, header []string, rows [][]string) error {
	align := make([]tw.Align, len(header))
	for j := range header {
		align[j] = tw.AlignRight
	}
	for i, row := range rows {
		if len(row) != len(header) {
			return fmt.Errorf("report: row %d of the table has %d cells under %d columns", i, len(row), len(header))
		}
		for j, cell := range row {
			if !numeric(cell) {
				align[j] = tw.AlignLeft
			}
		}
	}
	var b bytes.Buffer
	cells := tw.CellAlignment{PerColumn: align}
	padding := tw.CellPadding{Global: tw.Padding{Right: "  ", Overwrite: true}}
	format := tw.CellFormatting{AutoWrap: tw.WrapNone, AutoFormat: tw.Off}
	table := tablewriter.NewTable(&b,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders:  tw.BorderNone,
			Symbols:  tw.NewSymbols(tw.StyleNone),
			Settings: tw.Settings{Separators: tw.SeparatorsNone, Lines: tw.LinesNone},
		})),
		tablewriter.WithConfig(tablewriter.Config{
			Header: tw.CellConfig{Alignment: cells, Padding: padding, Formatting: format},
			Row:    tw.CellConfig{Alignment: cells, Padding: padding, Formatting: format},
		}),
	)
	table.Header(header)
	if err := table.Bulk(rows); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := table.Render(); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	return nil
}

// numeric reports whether a cell is a number or begins like one: "0.154 ± 0.01", "-3",
// "+Inf", "NaN", "12/20", and "–" for no value.
func numeric(cell string) bool {
	cell = strings.TrimSpace(cell)
	switch {
	case cell == "", cell == "-", cell == "–", cell == "—", cell == "NaN":
		return true
	}
	rest := strings.TrimLeft(cell, "+-−≈<>≤≥.")
	return rest != "" && (rest[0] >= '0' && rest[0] <= '9' || rest == "Inf")
}
