package htmlreport

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// follower is a tail under test.
type follower struct {
	*testing.T
	path string
	tail tail
}

func follow(t *testing.T) *follower {
	dir := t.TempDir()
	return &follower{t, filepath.Join(dir, "log.jsonl"), tail{dir: folder{dir, "."}, name: "log.jsonl"}}
}

// expect polls until there is nothing more to read. It fails unless exactly these lines came, with or without a reset.
func (f *follower) expect(reset bool, lines ...string) {
	f.Helper()
	var got []string
	wasReset := false
	for {
		n, err := f.tail.next()
		if err != nil {
			f.Fatal(err)
		}
		wasReset = wasReset || n.reset
		for _, l := range n.lines {
			got = append(got, string(l))
		}
		if !n.more {
			break
		}
	}
	if wasReset != reset || strings.Join(got, "|") != strings.Join(lines, "|") {
		f.Errorf("got reset %v and %q, want %v and %q", wasReset, got, reset, lines)
	}
}

func TestTailWaitsForTheEndOfALine(t *testing.T) {
	f := follow(t)
	f.expect(false) // no file yet
	write(t, f.path, "one\ntw")
	f.expect(false, "one")
	f.expect(false)
	appendTo(t, f.path, "o")
	f.expect(false)
	appendTo(t, f.path, "\n\n  \nthree\n")
	f.expect(false, "two", "three")
	f.expect(false)
}

func TestTailBeginsAnewWhereTheFileDoes(t *testing.T) {
	f := follow(t)
	write(t, f.path, "one\ntwo\n")
	f.expect(false, "one", "two")
	// The file was cut to less than what was read.
	write(t, f.path, "a\n")
	f.expect(true, "a")
	// The file was cut short and grew to the same length before the next poll.
	write(t, f.path, "b\nccc\n")
	f.expect(true, "b", "ccc")
	// A sweep overwrites an unfinished line that a crash left: the lines that were read stay valid.
	appendTo(t, f.path, "unfini")
	f.expect(false)
	if err := os.Truncate(f.path, 6); err != nil {
		t.Fatal(err)
	}
	appendTo(t, f.path, "d\n")
	f.expect(false, "d")
	// The file was replaced by another file with the same beginning.
	other := f.path + ".new"
	write(t, other, "b\nccc\nd\ne\n")
	if err := os.Rename(other, f.path); err != nil {
		t.Fatal(err)
	}
	f.expect(true, "b", "ccc", "d", "e")
	// The folder was removed and made anew.
	if err := os.RemoveAll(filepath.Dir(f.path)); err != nil {
		t.Fatal(err)
	}
	f.expect(true)
	f.expect(false)
	write(t, f.path, "f\n")
	f.expect(false, "f")
}

func TestTailLeavesOutLinesWithoutEnd(t *testing.T) {
	f := follow(t)
	long := strings.Repeat("x", maxLine+1)
	write(t, f.path, "one\n"+long+"\ntwo\n"+long)
	count := 0
	var got []string
	for {
		n, err := f.tail.next()
		if err != nil {
			t.Fatal(err)
		}
		count += n.long
		for _, l := range n.lines {
			got = append(got, string(l))
		}
		if !n.more {
			break
		}
	}
	if count != 2 || strings.Join(got, " ") != "one two" {
		t.Errorf("%d long lines, %q", count, got)
	}
	// The long line without an end goes on over several reads and counts once.
	appendTo(t, f.path, strings.Repeat("y", 3*chunk)+"\nthree\n")
	f.expect(false, "three")
	// The line consists of zeros and is then cut off: a read beyond the end must not match it.
	appendTo(t, f.path, strings.Repeat("\x00", maxLine+1))
	if n, err := f.tail.next(); err != nil || n.long != 1 {
		t.Fatalf("%v: %+v", err, n)
	}
	write(t, f.path, "")
	f.expect(true)
	// The longest line that is returned.
	appendTo(t, f.path, long[1:]+"\n")
	f.expect(false, long[1:])
}

func TestTailReadsMuchInParts(t *testing.T) {
	f := follow(t)
	const n = 700
	want := make([]string, n)
	for i := range want {
		want[i] = strings.Repeat(string(rune('a'+i%26)), 10000)
	}
	write(t, f.path, strings.Join(want, "\n")+"\n")
	first, err := f.tail.next()
	if err != nil || !first.more || len(first.lines) != chunk/10001 {
		t.Fatalf("%v: %d lines at once, more %v", err, len(first.lines), first.more)
	}
	f.expect(false, want[len(first.lines):]...)
}

func TestFoldersKeepInside(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	write(t, outside, "secret\n")
	root := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(root, logFile)); err != nil {
		t.Skip("no symbolic links: ", err)
	}
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(root, "way")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "in", resultFile), "{}")
	for _, c := range []struct{ rel, name string }{{".", logFile}, {"way", "secret"}, {"..", "secret"}, {"in/../..", "x"}} {
		if f, err := (folder{root, c.rel}).open(c.name); err == nil {
			f.Close()
			t.Errorf("%s/%s was opened", c.rel, c.name)
		}
	}
	if found := find(root); len(found) != 1 || found[0].Path != "in" {
		t.Errorf("found %v, want only the folder inside", found)
	}
	if f, err := (folder{root, "in"}).open(resultFile); err != nil {
		t.Error(err)
	} else {
		f.Close()
	}
	if _, err := (folder{root, "."}).open("in"); err == nil {
		t.Error("a folder was opened as a file")
	}
}
