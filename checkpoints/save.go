package checkpoints

import (
	"fmt"
	"os"

	"learnedopt/internal/durable"
)

// Save writes f to the file at path. Whatever happens, path then holds
// either its old content or the whole new content: Save writes a temporary file in the
// same folder, syncs it, renames it, and syncs the folder. A new file gets mode
// 0644 less the umask; an old file keeps its mode. If only the last step
// fails, path holds the new content, and the error says so.
func Save(path string, f *File) error {
	data, err := marshal(f)
	if err != nil {
		return fmt.Errorf("checkpoints: save %s: %w", path, err)
	}
	if err := durable.Replace(path, data); err != nil {
		return fmt.Errorf("checkpoints: save %s: %w", path, err)
	}
	return nil
}

// Load reads the file at path. See Read.
func Load(path string) (*File, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("checkpoints: load: %w", err)
	}
	defer r.Close()
	payload, err := readFrame(r)
	if err != nil {
		return nil, fmt.Errorf("checkpoints: load %s: %w", path, err)
	}
	f, err := readPayload(payload, int64(headerSize))
	if err != nil {
		return nil, fmt.Errorf("checkpoints: load %s: %w", path, err)
	}
	return f, nil
}
