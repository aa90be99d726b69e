// Package stream splits one seed into independent named random streams.
//
// The random numbers of a unit of work depend on the seed, its name and its index, never on the work that
// ran before it. Results are therefore independent of GOMAXPROCS, of the
// order of evaluation and of a resume.
package stream

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// New returns the stream (seed, purpose, index). Distinct triples give
// statistically independent PCG generators; equal triples give equal generators.
// Every seed is valid, 0 included.
func New(seed uint64, purpose string, index uint64) *rand.Rand {
	pcg := &rand.PCG{}
	Reseed(pcg, seed, purpose, index)
	return rand.New(pcg)
}

// Reseed sets an existing generator to the start of the stream
// (seed, purpose, index), so that a hot loop need not allocate a generator.
func Reseed(pcg *rand.PCG, seed uint64, purpose string, index uint64) {
	var head [64]byte
	binary.LittleEndian.PutUint64(head[0:], seed)
	binary.LittleEndian.PutUint64(head[8:], index)
	n := 16
	n += copy(head[n:], purpose)
	if n < 16+len(purpose) {
		panic(errPurpose)
	}
	sum := sha256.Sum256(head[:n])
	pcg.Seed(binary.LittleEndian.Uint64(sum[0:]), binary.LittleEndian.Uint64(sum[8:]))
}

const errPurpose = "stream: purpose longer than 48 bytes"
