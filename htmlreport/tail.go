package htmlreport

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
)

// maxLine is the longest line that a tail returns, chunk how much of a file it reads at once,
// markSize how much of what it has read it compares with the file, all in bytes.
const (
	maxLine  = 1 << 20
	chunk    = 2 << 20
	markSize = 256
)

// A tail reads the lines of a file that grows, each once it is complete.
type tail struct {
	dir  folder
	name string

	info   fs.FileInfo // nil while there is no file
	offset int64       // of the first line that was not returned
	mark   []byte      // what stands before offset
	skip   bool        // offset is inside a line that is too long
}

// news is what a tail found.
type news struct {
	lines [][]byte
	// reset: the file is not the one that was read before: it was replaced, cut short or removed.
	// What it held is void, lines are its first.
	reset bool
	// long is the number of lines that were longer than maxLine and are left out.
	long int
	// more: there is more to read at once.
	more bool
}

// next returns what is new. An error leaves the tail as it was, to try again.
func (t *tail) next() (n news, err error) {
	f, err := t.dir.open(t.name)
	if errors.Is(err, fs.ErrNotExist) {
		n.reset = t.info != nil
		t.restart(nil)
		return n, nil
	}
	if err != nil {
		return n, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return n, err
	}
	same, err := t.same(f, info)
	if err != nil {
		return n, err
	}
	if !same {
		n.reset = true
		t.restart(info)
	}
	t.info = info
	if info.Size() <= t.offset {
		return n, nil
	}
	buf := make([]byte, min(chunk, info.Size()-t.offset))
	got, err := f.ReadAt(buf, t.offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, err
	}
	offset := t.offset
	t.split(&n, buf[:got])
	n.more = offset < t.offset && t.offset < info.Size()
	return n, nil
}

// same says whether the file continues what was read. A tail that has read nothing goes on with any file.
func (t *tail) same(f io.ReaderAt, info fs.FileInfo) (bool, error) {
	if t.info == nil {
		return true, nil
	}
	if !os.SameFile(t.info, info) || info.Size() < t.offset {
		return false, nil
	}
	// Cut short and grown again between two looks.
	now := make([]byte, len(t.mark))
	if _, err := f.ReadAt(now, t.offset-int64(len(now))); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return bytes.Equal(now, t.mark), nil
}

func (t *tail) restart(info fs.FileInfo) {
	t.info, t.offset, t.mark, t.skip = info, 0, nil, false
}

// split takes the complete lines of buf, which stands at offset.
func (t *tail) split(n *news, buf []byte) {
	for len(buf) > 0 {
		end := bytes.IndexByte(buf, '\n')
		switch {
		case end < 0 && (t.skip || len(buf) > maxLine):
			if !t.skip {
				n.long++
			}
			t.skip = true
			t.advance(buf)
			return
		case end < 0:
			return // to be read again when it is complete
		case t.skip:
			t.skip = false
		case end > maxLine:
			n.long++
		case len(bytes.TrimSpace(buf[:end])) > 0:
			n.lines = append(n.lines, buf[:end])
		}
		t.advance(buf[:end+1])
		buf = buf[end+1:]
	}
}

func (t *tail) advance(read []byte) {
	t.offset += int64(len(read))
	t.mark = append(t.mark, read[max(0, len(read)-markSize):]...)
	t.mark = bytes.Clone(t.mark[max(0, len(t.mark)-markSize):])
}
