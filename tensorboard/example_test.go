package tensorboard_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"learnedopt/tensorboard"
)

// A loss over steps, and how weights are distributed at the end.
func ExampleWriter() {
	dir, err := os.MkdirTemp("", "events")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	w, err := tensorboard.Create(dir)
	if err != nil {
		log.Fatal(err)
	}
	for step := range int64(100) {
		w.Scalar(step, "loss/train", 1/float64(step+1))
	}
	w.Histogram(99, "weights", []float32{-0.5, 0.25, 0.25})
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*"))
	fmt.Println(len(files), "file")
	// Output: 1 file
}
