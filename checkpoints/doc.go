// Package checkpoints reads and writes .mopt files, the file format of trained optimizers:
// it is versioned, checked and written atomically. The package does not know what the tensors mean; a
// File's Kind tells a reader how to interpret them.
//
// A file is a fixed header, one msgpack value and a SHA-256:
//
//	bytes  0…7      "\x89MOPT\r\n\n"
//	bytes  8…11     format version, little-endian uint32
//	bytes 12…15     payload length L, little-endian uint32
//	bytes 16…16+L   payload: {config, kind, provenance, tensors}
//	last 32 bytes   SHA-256 of everything before
//
// Arrays are flax's msgpack extension 1. docs/format.md specifies all of it,
// with a reader and a writer in Python.
//
//	err := checkpoints.Save("optimizer.mopt", file) // writes the whole file or nothing
//	file, err := checkpoints.Load("optimizer.mopt") // a *FormatError says where it is wrong
//
// Nothing in a file depends on the clock, the machine or map order: equal
// files have equal bytes.
package checkpoints
