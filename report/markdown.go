package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Markdown writes rows under a header as a table in GitHub's Markdown. Columns are
// aligned as in Table, and padded so that the source text is legible too. Vertical
// bars in cells are escaped. It is an error if a row is longer or shorter than the header.
func Markdown(w io.Writer, header []string, rows [][]string) error {
	if len(header) == 0 {
		return fmt.Errorf("report: the table has no columns")
	}
	all := [][]string{header}
	right := make([]bool, len(header))
	for j := range header {
		right[j] = true
	}
	for i, row := range rows {
		if len(row) != len(header) {
			return fmt.Errorf("report: row %d of the table has %d cells under %d columns", i, len(row), len(header))
		}
		for j, cell := range row {
			right[j] = right[j] && numeric(cell)
		}
		all = append(all, row)
	}
	width := make([]int, len(header))
	text := make([][]string, len(all))
	for i, row := range all {
		for j, cell := range row {
			cell = strings.ReplaceAll(strings.ReplaceAll(cell, "|", `\|`), "\n", " ")
			text[i] = append(text[i], cell)
			width[j] = max(width[j], utf8.RuneCountInString(cell), 3)
		}
	}
	for i, row := range text {
		var b strings.Builder
		for j, cell := range row {
			space := strings.Repeat(" ", width[j]-utf8.RuneCountInString(cell))
			if right[j] {
				cell = space + cell
			} else {
				cell += space
			}
			b.WriteString("| " + cell + " ")
		}
		b.WriteString("|\n")
		if i == 0 {
			for j := range header {
				end := "-"
				if right[j] {
					end = ":"
				}
				b.WriteString("|" + strings.Repeat("-", width[j]+1) + end)
			}
			b.WriteString("|\n")
		}
		if _, err := io.WriteString(w, b.String()); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	return nil
}
