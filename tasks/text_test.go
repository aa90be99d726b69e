package tasks

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// rhyme returns a text of n characters of ASCII.
func rhyme(n int) string {
	const verse = "Three blind mice, see how they run!\nThey all ran after the farmer's wife.\n"
	return strings.Repeat(verse, n/len(verse)+1)[:n]
}

// A text is what an independent reading of it says: characters in the order of code points, splits one after the other.
func TestLoadText(t *testing.T) {
	verses := strings.Repeat("Ein Mädchen, 5 Äpfel – 😀\n", 20) // 25 characters and 31 bytes each
	path := write(t, filepath.Join(t.TempDir(), "äpfel", "verses.txt"), verses)
	x, err := LoadText(path)
	if err != nil {
		t.Fatal(err)
	}
	if x.Characters() != "\n ,5EMcdefhilnpÄä–😀" {
		t.Errorf("characters %q", x.Characters())
	}
	if x.Len(Train) != 400 || x.Len(Valid) != 50 || x.Len(Test) != 50 {
		t.Fatalf("splits of %d, %d and %d", x.Len(Train), x.Len(Valid), x.Len(Test))
	}
	vocabulary, read := []rune(x.Characters()), []rune{}
	for _, s := range []Split{Train, Valid, Test} {
		for _, c := range x.splits[s] {
			read = append(read, vocabulary[c])
		}
	}
	if string(read) != verses {
		t.Errorf("read as %q", string(read))
	}
	if again, err := LoadText(path); err != nil || again != x {
		t.Errorf("read twice: %v", err)
	}
	// A mark at the beginning and the ends of lines do not count; the name is pinned, because files hold it.
	for _, same := range []string{"\ufeff" + verses, strings.ReplaceAll(verses, "\n", "\r\n")} {
		y, err := LoadText(write(t, filepath.Join(t.TempDir(), "verses.txt"), same))
		if err != nil || y.Name() != x.Name() || !slices.Equal(y.splits[Test], x.splits[Test]) || y.Characters() != x.Characters() {
			t.Errorf("%q is another text than %q: %v", same[:20], verses[:20], err)
		}
	}
	if x.Name() != "verses@410dab41a2e16b7a" {
		t.Errorf("the name is %s", x.Name())
	}
	mustPanic(t, errSplit, func() { x.Len(3) })
	// No more than 100,000 characters validate, and as many test.
	long, err := readText("long", strings.NewReader(rhyme(1_200_000)))
	if err != nil || long.Len(Train) != 1_000_000 || long.Len(Valid) != 100_000 || long.Len(Test) != 100_000 {
		t.Errorf("splits of %d, %d and %d of 1,200,000 characters, %v", long.Len(Train), long.Len(Valid), long.Len(Test), err)
	}
}

func TestLoadTextErrors(t *testing.T) {
	var many strings.Builder
	for c := range 4097 {
		many.WriteRune(rune(0x4e00 + c))
	}
	for what, c := range map[string]struct{ text, want string }{
		"empty":     {"", "tasks: x.txt: 0 characters, want at least 330"},
		"short":     {rhyme(329), "tasks: x.txt: 329 characters, want at least 330: a tenth validates, a tenth tests, and the network reads 32 and predicts one more"},
		"latin-1":   {rhyme(330) + "\nAch, M\xe4dchen", "tasks: x.txt: line 10: byte 7 of the line is not UTF-8"},
		"UTF-16":    {"\xff\xfeA\x00" + rhyme(330), "tasks: x.txt: line 1: byte 1 of the line is not UTF-8; convert the file to UTF-8"},
		"cut":       {rhyme(330) + "\xe2\x80", "is not UTF-8"},
		"surrogate": {rhyme(330) + "\xed\xa0\x80", "is not UTF-8"},
		"one":       {strings.Repeat("a", 400), "tasks: x.txt: 1 different characters, want 2 to 4096"},
		"many":      {many.String(), "tasks: x.txt: 4097 different characters, want 2 to 4096"},
	} {
		path := write(t, filepath.Join(t.TempDir(), "x.txt"), c.text)
		x, err := LoadText(path)
		var fault *TextError
		if x != nil || !errors.As(err, &fault) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", what, err, c.want)
		}
	}
	if x, err := readText("ok", strings.NewReader(many.String()[3:])); err != nil || x.Characters() != many.String()[3:] {
		t.Errorf("4,096 characters: %v", err)
	}
	broken := errors.New("broken")
	if _, err := readText("x.txt", iotest.ErrReader(broken)); !errors.Is(err, broken) || !strings.Contains(err.Error(), "x.txt") {
		t.Errorf("error %v", err)
	}
	if _, err := readText("x.txt", endless{}); err == nil || !strings.Contains(err.Error(), "x.txt: more than 134217728 bytes") {
		t.Errorf("error %v", err)
	}
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "none.txt"):                 "no such file",
		filepath.Join(dir, "x.md"):                     "the name of a text ends with .txt",
		write(t, filepath.Join(dir, "a b.txt"), "abc"): "cannot stand in a task's name",
		dir: "the name of a text ends with .txt",
	} {
		if _, err := LoadText(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
	}
}

// endless is a text that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a' + byte(i%2)
	}
	return len(p), nil
}

// Any text is an error that names the file, or the characters that it consists of.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"", rhyme(330), rhyme(400) + "\xff", "\ufeff" + rhyme(350), strings.ReplaceAll(rhyme(500), "\n", "\r\n"), strings.Repeat("ä😀\x00", 120)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := readText("fuzz.txt", bytes.NewReader(data))
		if err != nil {
			var fault *TextError
			if !errors.As(err, &fault) || fault.Name != "fuzz.txt" {
				t.Fatalf("error %v (%T) is no *TextError", err, err)
			}
			return
		}
		vocabulary := []rune(x.Characters())
		if !slices.IsSorted(vocabulary) || x.Len(Valid) <= window || x.Len(Test) <= window || x.Len(Train) < x.Len(Valid) {
			t.Fatalf("%q, splits of %d, %d, %d", x.Characters(), x.Len(Train), x.Len(Valid), x.Len(Test))
		}
		var b strings.Builder
		for _, s := range []Split{Train, Valid, Test} {
			for _, c := range x.splits[s] {
				b.WriteRune(vocabulary[c])
			}
		}
		if want := strings.ReplaceAll(strings.TrimPrefix(string(data), "\ufeff"), "\r\n", "\n"); b.String() != want {
			t.Fatalf("%q is read as %q", want, b.String())
		}
	})
}
