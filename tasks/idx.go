package tasks

import (
	"encoding/binary"
	"fmt"
	"io"
)

// An IDX is an array of unsigned bytes from a file in the IDX format of the
// MNIST database (LeCun, Cortes, Burges). The file holds a magic number 0, 0, 8, rank; then as many
// dimensions as the rank says, as big-endian uint32; then the bytes in row-major order.
type IDX struct {
	// Dims are the dimensions, all at least 1.
	Dims []int
	// Data holds the bytes; its length is the product of Dims.
	Data []byte
}

const (
	idxUnsignedByte = 0x08
	maxIDXRank      = 4
	// maxIDXSize bounds the data of one file. The largest file of EMNIST has 547 MB.
	maxIDXSize = 640 << 20
)

// ReadIDX reads one IDX file of unsigned bytes, gzip-compressed or raw, to its
// end. name is used in errors only. Memory grows with the bytes that were read,
// not with the sizes that the header claims, up to 640 MiB. A malformed file is a
// *FormatError; any other error comes from r.
func ReadIDX(name string, r io.Reader) (IDX, error) {
	in, err := newDataReader(name, r)
	if err != nil {
		return IDX{}, err
	}
	return in.idx()
}

// idx reads an IDX file to its end.
func (in *dataReader) idx() (IDX, error) {
	var word [4]byte
	if err := in.full(word[:], "magic number"); err != nil {
		return IDX{}, err
	}
	rank := int(word[3])
	switch {
	case word[0] != 0 || word[1] != 0:
		return IDX{}, in.failAt(0, "magic number %#08x, want 0x000008 and the rank: not an IDX file", binary.BigEndian.Uint32(word[:]))
	case word[2] != idxUnsignedByte:
		return IDX{}, in.failAt(2, "element type %#02x, want 0x08 (unsigned byte)", word[2])
	case rank < 1 || rank > maxIDXRank:
		return IDX{}, in.failAt(3, "rank %d, want 1 to %d", rank, maxIDXRank)
	}
	dims, total := make([]int, rank), int64(1)
	for i := range dims {
		at := in.offset
		if err := in.full(word[:], "dimensions"); err != nil {
			return IDX{}, err
		}
		d := int64(binary.BigEndian.Uint32(word[:]))
		if d == 0 {
			return IDX{}, in.failAt(at, "dimension %d is 0", i)
		}
		if total *= d; total > maxIDXSize { // no overflow: both factors are below 2^32
			return IDX{}, in.failAt(at, "dimension %d is %d: more than %d bytes of data", i, d, maxIDXSize)
		}
		dims[i] = int(d)
	}
	data, err := in.data(int(total))
	if err != nil {
		return IDX{}, err
	}
	if err := in.end(fmt.Sprintf("the dimensions %v say", dims)); err != nil {
		return IDX{}, err
	}
	return IDX{Dims: dims, Data: data}, nil
}
