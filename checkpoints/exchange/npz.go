package exchange

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"learnedopt/checkpoints"
)

const (
	// metadataName is the name of the entry that is not a tensor, and of the corresponding key in the header of
	// safetensors.
	metadataName = "__metadata__"
	// zipEnd begins the last record of a zip archive, which has zipEndSize bytes
	// if there is no comment.
	zipEnd     = "PK\x05\x06"
	zipEndSize = 22
	// An archive may unpack to at most unpackBase bytes plus unpackRatio times its own size.
	// Weights hardly compress; an archive with a higher ratio is a zip bomb or holds zeros.
	unpackBase  = 1 << 20
	unpackRatio = 64
	// maxNPYHeader is the longest header that NumPy itself reads by default.
	maxNPYHeader = 10000
	npyMagic     = "\x93NUMPY"
)

func marshalNPZ(f *checkpoints.File) ([]byte, error) {
	text, err := metadataJSON(f)
	if err != nil {
		return nil, failf(NPZ, "", "%v", err)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	add := func(name string, array []byte) error {
		// The time is the earliest one in the format, so that the bytes do not depend on the clock.
		w, err := z.CreateHeader(&zip.FileHeader{Name: name + ".npy", Method: zip.Store, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)})
		if err == nil {
			_, err = w.Write(array)
		}
		return err
	}
	for i := range f.Tensors {
		t := &f.Tensors[i]
		if unsafeName(t.Name) || t.Name == metadataName {
			return nil, failf(NPZ, "tensor "+strconv.Quote(t.Name), "the name is not allowed for an entry of an archive; use %s", FlaxMsgpack)
		}
		if err := add(t.Name, appendData(npyHeader(dtypeOf(t).npy, t.Shape), t)); err != nil {
			return nil, err
		}
	}
	if err := add(metadataName, append(npyHeader(uint8s.npy, []int{len(text)}), text...)); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// npyHeader returns the header that precedes an array's elements in version 1.0 of .npy.
func npyHeader(descr string, shape []int) []byte {
	dims := ""
	for _, d := range shape {
		dims += strconv.Itoa(d) + ", "
	}
	if len(shape) != 1 {
		dims = strings.TrimSuffix(dims, ", ")
	} else {
		dims = strings.TrimSuffix(dims, " ")
	}
	text := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, dims)
	const before = len(npyMagic) + 2 + 2
	text += strings.Repeat(" ", (64-(before+len(text)+1)%64)%64) + "\n"
	b := append([]byte(npyMagic), 1, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(text)))
	return append(b, text...)
}

func readNPZ(data []byte) (*checkpoints.File, error) {
	if len(data) < zipEndSize || string(data[len(data)-zipEndSize:][:len(zipEnd)]) != zipEnd || data[len(data)-1]|data[len(data)-2] != 0 {
		return nil, failf(NPZ, fmt.Sprintf("byte %d", len(data)), "the archive does not end here: it is cut short, or bytes follow it; fetch it again")
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, &FormatError{Format: NPZ, Reason: "not a zip archive: " + err.Error(), Err: err}
	}
	if len(z.File) > maxTensors+1 {
		return nil, failf(NPZ, "", "%d entries, at most %d are allowed", len(z.File), maxTensors+1)
	}
	f := new(checkpoints.File)
	budget := uint64(unpackBase) + unpackRatio*uint64(len(data))
	seen := map[string]bool{}
	for _, entry := range z.File {
		place := "entry " + strconv.Quote(entry.Name)
		name, ok := strings.CutSuffix(entry.Name, ".npy")
		switch {
		case strings.HasSuffix(entry.Name, "data.pkl"):
			return nil, failf(NPZ, place, "a file of torch.save, which is a program; in Python, save its tensors with numpy.savez or safetensors")
		case !ok || unsafeName(name):
			return nil, failf(NPZ, place, "not the name of an array; remove the entry")
		case seen[name]:
			return nil, failf(NPZ, place, "it comes twice")
		case entry.UncompressedSize64 > budget:
			return nil, failf(NPZ, place, "the archive unpacks to more than %d times its size; save it without compression", unpackRatio)
		}
		seen[name] = true
		budget -= entry.UncompressedSize64
		content, err := unpack(entry)
		if err != nil {
			return nil, &FormatError{Format: NPZ, Place: place, Reason: err.Error(), Err: err}
		}
		a, wrong := parseNPY(content)
		switch {
		case wrong != "":
		case name == metadataName && (a.descr != uint8s.npy || len(a.shape) != 1 || a.shape[0] != len(a.data)):
			wrong = fmt.Sprintf("%s%v, want a uint8 array of one dimension", a.descr, a.shape)
		case name == metadataName:
			if err := setMetadata(f, a.data); err != nil {
				return nil, &FormatError{Format: NPZ, Place: place, Reason: refused(NPZ, err).Reason, Err: err}
			}
		default:
			k := slices.IndexFunc(dtypes(), func(d dtype) bool { return d.npy == a.descr })
			if k < 0 {
				wrong = fmt.Sprintf("dtype %s; save it as little-endian float32, with .astype('<f4')", a.descr)
				break
			}
			var t checkpoints.Tensor
			t, wrong = decode(name, a.shape, dtypes()[k], a.data)
			if a.fortran && wrong == "" {
				t.Data, t.Data64, t.Bytes = rowMajor(t.Data, t.Shape), rowMajor(t.Data64, t.Shape), rowMajor(t.Bytes, t.Shape)
			}
			f.Tensors = append(f.Tensors, t)
		}
		if wrong != "" {
			return nil, failf(NPZ, place, "%s", wrong)
		}
	}
	if !seen[metadataName] {
		if what := stranger(f.Tensors); what != "" {
			return nil, failf(NPZ, "", "%s", what)
		}
		return nil, failf(NPZ, "", "no entry %s.npy with the configuration; metaopt export writes it, keep it with the tensors", metadataName)
	}
	return f, nil
}

// unpack returns the content of an entry with a declared size within bounds. The
// buffer grows with the bytes that arrive.
func unpack(entry *zip.File) ([]byte, error) {
	r, err := entry.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var b bytes.Buffer
	if _, err := io.Copy(&b, io.LimitReader(r, int64(entry.UncompressedSize64)+1)); err != nil {
		return nil, err
	}
	if uint64(b.Len()) != entry.UncompressedSize64 {
		return nil, fmt.Errorf("%d bytes or more, %d are declared", b.Len(), entry.UncompressedSize64)
	}
	return b.Bytes(), nil
}

// A npy is the content of a .npy file.
type npy struct {
	descr   string
	fortran bool // the first index runs fastest
	shape   []int
	data    []byte
}

// npyItem matches a key of the header and its value, as any writer may write them. Python 2 writes 5L for 5.
var npyItem = regexp.MustCompile(`^\s*['"](\w+)['"]\s*:\s*(?:['"]([<>|=]?[a-zA-Z][0-9]*)['"]|(True|False)|\(([0-9L,\s]{0,100})\))\s*(,|$)`)

// parseHeader reads the dictionary of a header into a; it is false unless the dictionary has exactly the three keys of a plain
// array.
func (a *npy) parseHeader(text string) (dims string, ok bool) {
	text, begins := strings.CutPrefix(strings.TrimSpace(text), "{")
	text, ends := strings.CutSuffix(text, "}")
	if !begins || !ends {
		return "", false
	}
	seen := map[string]bool{}
	for strings.TrimSpace(text) != "" {
		m := npyItem.FindStringSubmatchIndex(text)
		if m == nil {
			return "", false
		}
		part := func(k int) (string, bool) {
			if m[2*k] < 0 {
				return "", false
			}
			return text[m[2*k]:m[2*k+1]], true
		}
		key, _ := part(1)
		var fits bool
		switch key {
		case "descr":
			a.descr, fits = part(2)
		case "fortran_order":
			var order string
			order, fits = part(3)
			a.fortran = order == "True"
		case "shape":
			dims, fits = part(4)
		}
		if !fits || seen[key] {
			return "", false
		}
		seen[key] = true
		text = text[m[1]:]
	}
	return dims, len(seen) == 3
}

// rowMajor returns the elements of an array in row-major order, of x, which has them in Fortran's. nil stays nil.
func rowMajor[E any](x []E, shape []int) []E {
	if x == nil {
		return nil
	}
	out, index := make([]E, len(x)), make([]int, len(shape))
	for i := range out {
		at := 0
		for k := len(shape) - 1; k >= 0; k-- {
			at = at*shape[k] + index[k]
		}
		out[i] = x[at]
		for k := len(shape) - 1; k >= 0; k-- {
			if index[k]++; index[k] < shape[k] {
				break
			}
			index[k] = 0
		}
	}
	return out
}

// parseNPY reads a .npy file of version 1 to 3; the data of a alias the input. wrong
// is the fault of the file, "" if it has none.
func parseNPY(file []byte) (a npy, wrong string) {
	const versionEnd = len(npyMagic) + 2
	if len(file) < versionEnd+4 || string(file[:len(npyMagic)]) != npyMagic {
		return a, "not a .npy array"
	}
	at, size := versionEnd+2, uint32(binary.LittleEndian.Uint16(file[versionEnd:]))
	switch version := file[len(npyMagic)]; {
	case version == 2 || version == 3:
		at, size = versionEnd+4, binary.LittleEndian.Uint32(file[versionEnd:])
	case version != 1:
		return a, fmt.Sprintf("version %d of .npy, want 1 to 3", version)
	}
	if size > maxNPYHeader || int(size) > len(file)-at {
		return a, fmt.Sprintf("a header of %d bytes; %d are there, at most %d are allowed", size, len(file)-at, maxNPYHeader)
	}
	shape, ok := a.parseHeader(string(file[at:][:size]))
	if !ok {
		return a, "not the header of a plain numeric array"
	}
	dims := strings.Split(shape, ",")
	for i, text := range dims {
		text = strings.TrimSpace(text)
		if text == "" && i == len(dims)-1 { // the shapes () and (5,)
			break
		}
		d, err := strconv.Atoi(strings.TrimSuffix(text, "L"))
		if err != nil {
			return a, fmt.Sprintf("shape (%s)", shape)
		}
		a.shape = append(a.shape, d)
	}
	a.data = file[at+int(size):]
	return a, ""
}
