package checkpoints

import (
	"fmt"
	"os"

	"learnedopt/internal/durable"
)

// Save writes f to the file at path so that, whatever happens, path holds
// either its old content or all of the new one: into a temporary file in the
// same folder, synced, renamed, and the folder synced. A new file gets mode
// 0644 less the umask, an old one keeps its mode. If the last of these steps alone
// fails path holds the new content, and the error says so.
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
