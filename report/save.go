//go:build !windows

package report

import "github.com/google/renameio/v2"

// writeFile replaces a file as a whole.
func writeFile(path string, data []byte) error {
	return renameio.WriteFile(path, data, 0o644)
}
