package results

import (
	"os"
	"path/filepath"
	"testing"
)

// Any manifest with any records gives either results or an error.
func FuzzFolder(f *testing.F) {
	const manifest = `{"axes":[{"key":"steps","values":["1"]}],"rules":[{"name":"l","kind":"learned"},{"name":"adam","kind":"baseline"}],` +
		`"cells":[{"values":{"steps":"1"},"steps":1,"keys":["a","b"]}],"runs":2,"seed":0}`
	const records = `{"key":"a","cell":{"steps":"1"},"steps":1,"runs":2,"seed":0,"rule":{"name":"l","kind":"learned"},"mean_losses":[1,2],"final_losses":[1,null],"curve_steps":[0,1],"curve":[2,1],"curve_ci95":[[1,1],[3,3]]}
{"key":"b","cell":{"steps":"1"},"steps":1,"runs":2,"seed":0,"rule":{"name":"adam","kind":"baseline","learning_rate":0.1},"mean_losses":[3,2],"final_losses":[1,2],"curve_steps":[0,1],"curve":[2,1],"curve_ci95":[[1,1],[3,3]],"reach":[2,1],"reach_every":1}
`
	f.Add([]byte(manifest), []byte(records))
	f.Add([]byte(`{}`), []byte("{}\n"))
	f.Fuzz(func(t *testing.T, manifest, records []byte) {
		dir := t.TempDir()
		for name, data := range map[string][]byte{ManifestFile: manifest, CellsFile: records} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		results, err := Load(dir)
		if err == nil && results == nil {
			t.Error("neither results nor an error")
		}
	})
}
