// Package nearest finds the known name that is most similar to a misspelt one.
package nearest

import (
	"fmt"
	"slices"
	"strings"
)

// Name returns the name with the least edit distance to s, ignoring case; of several such names it is the
// first. It panics if there are no names.
func Name(s string, names []string) string {
	s = strings.ToLower(s)
	return slices.MinFunc(names, func(a, b string) int {
		return distance(s, strings.ToLower(a)) - distance(s, strings.ToLower(b))
	})
}

// DidYouMean returns the middle of an error about an unknown name s: , did you mean "x"? for the nearest name if it is
// similar or begins with s, else a full stop.
func DidYouMean(s string, names []string) string {
	if len(names) == 0 {
		return "."
	}
	near := Name(s, names)
	if distance(strings.ToLower(s), strings.ToLower(near)) > (max(len(s), len(near))+1)/3 {
		i := slices.IndexFunc(names, func(name string) bool { return strings.HasPrefix(strings.ToLower(name), strings.ToLower(s)) })
		if i < 0 || len(s) < 3 {
			return "."
		}
		near = names[i]
	}
	return fmt.Sprintf(", did you mean %q?", near)
}

// distance is the number of insertions, deletions and substitutions of bytes, and of exchanges of neighbours, that
// turn a into b (optimal string alignment).
func distance(a, b string) int {
	last, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			substitution := row[j]
			if a[i] != b[j] {
				substitution++
			}
			next[j+1] = min(row[j+1]+1, next[j]+1, substitution)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], last[j-1]+1)
			}
		}
		last, row, next = row, next, last
	}
	return row[len(b)]
}
