package tasks

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
)

// Checksum returns a checksum of the data sets that the specs read from the folder dataDir, 64 hexadecimal digits, or "" if they
// read none. Equal data have equal checksums, whether their files are compressed or not. It leaves out the user's own data,
// whose checksums are in the tasks' names. It reads all of the data.
func Checksum(dataDir string, specs ...Spec) (string, error) {
	read := map[string]task{}
	for _, s := range specs {
		of, err := s.tasks()
		if err != nil {
			return "", err
		}
		for _, t := range of {
			if t.files && !t.own {
				read[t.name] = t
			}
		}
	}
	if len(read) == 0 {
		return "", nil
	}
	all := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(read)) {
		d, err := read[name].images(dataDir, name)
		if err != nil {
			return "", err
		}
		sum := d.checksum()
		all.Write(sum[:]) // a hash returns no error
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

// checksum is the SHA-256 of a set of images: its name, its sizes and all its images and labels.
func (d *Dataset) checksum() (sum [sha256.Size]byte) {
	h := sha256.New()
	write := func(b []byte) {
		_ = binary.Write(h, binary.LittleEndian, uint64(len(b))) // as above
		h.Write(b)
	}
	write([]byte(d.name))
	for _, n := range []int{d.channels, d.rows, d.cols, d.classes} {
		_ = binary.Write(h, binary.LittleEndian, uint64(n))
	}
	for _, p := range d.parts {
		write(p.Pixels)
		write(p.Labels)
	}
	copy(sum[:], h.Sum(nil))
	return sum
}
