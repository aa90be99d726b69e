package htmlreport

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
)

// maxLine is the length of the longest line that a tail returns. chunk is how much of a file it reads at once.
// markSize is how much of the text before its offset it compares with the file. All are in bytes.
const (
	maxLine  = 1 << 20
	chunk    = 2 << 20
	markSize = 256
)

// A tail reads the lines of a growing file. It returns each line once the line is complete.
type tail struct {
	dir  folder
	name string

	info   fs.FileInfo // nil while there is no file
	offset int64       // where the first line begins that was not returned
	mark   []byte      // the bytes before offset, at most markSize
	skip   bool        // whether offset is inside a line that is too long
}

// news holds what a tail has read.
type news struct {
	lines [][]byte
	// reset says that the file was replaced, cut short or removed. The lines that were returned before no longer
	// count, and lines holds the first lines of the file.
	reset bool
	// long is the number of lines that were longer than maxLine and are left out.
	long int
	// more says that there is more to read without waiting.
	more bool
}

// next returns the news since the last call. After an error the tail is unchanged, so that the caller can try again.
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

// same reports whether the file still begins with the text that was read. It is true for every file if nothing was read.
func (t *tail) same(f io.ReaderAt, info fs.FileInfo) (bool, error) {
	if t.info == nil {
		return true, nil
	}
	if !os.SameFile(t.info, info) || info.Size() < t.offset {
		return false, nil
	}
	// The file may have been cut short and have grown again between two calls.
	now := make([]byte, len(t.mark))
	if _, err := f.ReadAt(now, t.offset-int64(len(now))); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return bytes.Equal(now, t.mark), nil
}

func (t *tail) restart(info fs.FileInfo) {
	t.info, t.offset, t.mark, t.skip = info, 0, nil, false
}

// split adds the complete lines of buf, which holds the bytes of the file from offset on.
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
			return // the line is read again when it is complete
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
