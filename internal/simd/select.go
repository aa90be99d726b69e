package simd

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// EnvPath is the environment variable that names the path of Float32. If it is
// unset or empty, Float32 takes the fastest path that does not round the factors of products.
const EnvPath = "METAOPT_SIMD"

// A PathError says that this CPU does not have the requested path.
type PathError struct {
	Name  string   // the requested path
	Paths []string // the paths of this CPU
}

func (e *PathError) Error() string {
	return fmt.Sprintf("simd: no path %q on this CPU: use one of %s", e.Name, strings.Join(e.Paths, ", "))
}

// available holds every path of this CPU that rounds no factor of a product, the fastest first.
var available = sync.OnceValue(func() []*Kernels[float32] {
	k := Reference[float32]()
	k.chains, k.width = fmaChains, 1
	return append(native(), k)
})

// everyPath holds every path of this CPU, the fastest first.
var everyPath = sync.OnceValue(func() []*Kernels[float32] { return append(rounding(available()), available()...) })

// Paths returns the names of the paths that this CPU and its operating system
// can run, the fastest first. "go" is always the last.
func Paths() []string {
	var names []string
	for _, k := range everyPath() {
		names = append(names, k.Path)
	}
	return names
}

// Select returns the kernels of the path of the given name; "" means the
// fastest that does not round factors. A name that is not one of Paths is a *PathError.
func Select(name string) (*Kernels[float32], error) {
	for _, k := range everyPath() {
		if k.Path == name || name == "" && !k.Rounds() {
			return k, nil
		}
	}
	return nil, &PathError{Name: name, Paths: Paths()}
}

var chosen = sync.OnceValues(func() (*Kernels[float32], error) {
	k, err := Select(os.Getenv(EnvPath))
	if err != nil {
		k, _ = Select("")
		err = fmt.Errorf("%s: %w (%s is in use)", EnvPath, err, k.Path)
	}
	return k, err
})

// Float32 returns the kernels that EnvPath names. If EnvPath names none, or a path that this CPU does not
// have, it returns the fastest kernels; EnvError reports the latter case. EnvPath is read
// once, when Float32 or EnvError is first called.
func Float32() *Kernels[float32] {
	k, _ := chosen()
	return k
}

// EnvError returns an error that wraps a *PathError if the value of EnvPath is invalid, else
// nil.
func EnvError() error {
	_, err := chosen()
	return err
}
