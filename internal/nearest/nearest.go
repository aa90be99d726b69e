// Package nearest finds the known name that is most similar to a misspelt one.
package nearest

import (
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

// distance is the number of insertions, deletions and substitutions of bytes that
// turn a into b (Levenshtein 1966).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitution := diagonal
			if a[i] != b[j] {
				substitution++
			}
			diagonal = row[j+1]
			row[j+1] = min(row[j]+1, diagonal+1, substitution)
		}
	}
	return row[len(b)]
}
