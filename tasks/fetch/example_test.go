package fetch_test

import (
	"fmt"
	"log"

	"learnedopt/tasks/fetch"
)

func ExampleLookup() {
	d, err := fetch.Lookup("fashion-mnist")
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range d.Files {
		fmt.Println(f.Name, f.Size, f.SHA256[:8])
	}
	// Then: err = fetch.Fetcher{}.Fetch(ctx, dir, d)

	// Output:
	// train-images-idx3-ubyte.gz 26421880 3aede38d
	// train-labels-idx1-ubyte.gz 29515 a04f1713
	// t10k-images-idx3-ubyte.gz 4422102 346e55b9
	// t10k-labels-idx1-ubyte.gz 5148 67da17c7
}
