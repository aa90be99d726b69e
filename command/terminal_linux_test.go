package command

import (
	"context"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// screen calls use with a pseudo-terminal of 120 columns, and returns the text written to it.
func screen(t *testing.T, use func(terminal *os.File)) string {
	t.Helper()
	return screenOf(t, 120, use)
}

// screenOf is screen with another number of columns.
func screenOf(t *testing.T, columns uint16, use func(terminal *os.File)) string {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	defer master.Close()
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	text := make(chan string)
	go func() {
		data, _ := io.ReadAll(master) // ends with an error when the other end is closed
		text <- string(data)
	}()
	use(slave)
	slave.Close()
	return <-text
}

// onScreen runs a command line whose stderr is a terminal.
func onScreen(t *testing.T, ctx context.Context, args ...string) string {
	return screen(t, func(terminal *os.File) { run(ctx, args, io.Discard, terminal) })
}

// Every long command shows a progress bar on a terminal, and only there.
func TestBars(t *testing.T) {
	t.Setenv("TERM", "xterm")
	stopped, stop := context.WithCancel(t.Context())
	stop()
	quick := []string{"--task", "rosenbrock", "--steps", "20", "--runs", "2", "--tune-runs", "2"}
	train := []string{"meta-train", "--task", "rosenbrock", "--steps", "10", "--unroll", "5", "--hidden", "3", "--valid-runs", "2", "--rules", "none", "--runs", "2"}
	for name, c := range map[string]struct {
		ctx   context.Context
		args  []string
		words []string
	}{
		"compare":             {t.Context(), append([]string{"compare", "--rules", "adam"}, quick...), []string{"tuning learning rates", "comparing"}},
		"check-gradient":      {t.Context(), []string{"check-gradient", "--task", "rosenbrock", "--steps", "10", "--hidden", "3"}, []string{"checking"}},
		"meta-train":          {t.Context(), append(train, "--meta-steps", "5"), []string{"meta-training", "comparing"}},
		"meta-train, timed":   {t.Context(), append(train, "--time", "700ms"), []string{"meta-training, valid loss", "meta-steps/s", "1s left", "█"}},
		"meta-train, seeds":   {t.Context(), append(train, "--meta-steps", "3", "--seeds", "2"), []string{"choosing"}},
		"reproduce":           {t.Context(), []string{"reproduce", "quadratics", "--quick", "--runs", "1", "--tune-runs", "1", "--optimizer", "pretrained:quadratic"}, []string{"tuning learning rates", "comparing"}},
		"data fetch, stopped": {stopped, []string{"data", "fetch", "mnist", "--data-dir", "data"}, []string{"mnist  "}},
		"bench":               {t.Context(), []string{"bench", "--each", "1ms"}, []string{"measuring"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if name == "bench" { // it takes long
				var cancel context.CancelFunc
				c.ctx, cancel = context.WithTimeout(c.ctx, 2*time.Second)
				defer cancel()
			}
			shown := onScreen(t, c.ctx, c.args...)
			for _, word := range append(c.words, "% |") {
				if !strings.Contains(shown, word) {
					t.Errorf("no %q on the terminal: %q", word, shown)
				}
			}
			if quiet := onScreen(t, c.ctx, append(c.args, "--quiet")...); strings.Contains(quiet, "% |") {
				t.Errorf("with --quiet there is %q", quiet)
			}
		})
	}
}

// A meter shows the rate and the remaining time, and leaves nothing on the screen.
func TestMeterOnATerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	shown := screen(t, func(terminal *os.File) {
		m := (&app{stderr: terminal}).count(10, "working").of("runs")
		m.set(5)
		time.Sleep(450 * time.Millisecond)
		m.set(10)
		m.describe("what follows the last one")
		time.Sleep(250 * time.Millisecond)
		m.close()
	})
	for _, word := range []string{"working", "runs/s, 1s left", "50%", "5/10", "what follows the last one ", "90%"} {
		if !strings.Contains(shown, word) {
			t.Errorf("no %q: %q", word, shown)
		}
	}
	if last := shown[strings.LastIndex(strings.TrimRight(shown, "\r"), "\r")+1:]; strings.TrimSpace(last) != "" {
		t.Errorf("it leaves %q", last)
	}
	quiet := func(a *app, terminal *os.File) {
		a.stderr = terminal
		m := a.count(10, "working").of("runs")
		m.set(5)
		m.describe("else")
		m.close()
	}
	if shown := screen(t, func(terminal *os.File) { quiet(&app{quiet: true}, terminal) }); shown != "" {
		t.Errorf("with --quiet: %q", shown)
	}
	t.Setenv("TERM", "dumb")
	if shown := screen(t, func(terminal *os.File) { quiet(&app{}, terminal) }); shown != "" {
		t.Errorf("on a dumb terminal: %q", shown)
	}
	t.Setenv("TERM", "xterm")
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	quiet(&app{}, writer)
	writer.Close()
	if data, _ := io.ReadAll(reader); len(data) > 0 {
		t.Errorf("in a pipe: %q", data)
	}
}

// A bar stays on its line, however narrow the terminal is.
func TestBarsFitTheTerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	control := regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)
	for _, columns := range []uint16{30, 50, 80, 120} {
		for name, use := range map[string]func(a *app) *meter{
			"count": func(a *app) *meter {
				return a.count(123456, "meta-training, valid loss 0.1234, 4.25 meta-steps/s").of("meta-steps")
			},
			"plain": func(a *app) *meter {
				return a.meter(99999, "units=20 batch=128 activation=sigmoid weight-init=he steps=1000: tuning adam", 0).of("steps")
			},
			"clock": func(a *app) *meter {
				return a.clock(10*time.Minute, "meta-training, valid loss 0.1234, 4.25 meta-steps/s")
			},
			"bytes": func(a *app) *meter { return a.bytes(170498071, "cifar10: cifar-10-binary.tar.gz") },
		} {
			shown := screenOf(t, columns, func(terminal *os.File) {
				m := use(&app{stderr: terminal})
				m.set(m.max / 3)
				time.Sleep(250 * time.Millisecond) // one tick
				m.close()
			})
			widest := 0
			for line := range strings.SplitSeq(control.ReplaceAllString(shown, ""), "\r") {
				widest = max(widest, utf8.RuneCountInString(strings.TrimRight(line, " ")))
			}
			if widest >= int(columns) || columns >= 80 && widest < 60 || !strings.Contains(shown, "% |") {
				t.Errorf("%s: a line of %d characters on %d columns: %q", name, widest, columns, shown)
			}
		}
	}
}

func TestFit(t *testing.T) {
	for want, c := range map[string]struct {
		text, end string
		columns   int
	}{
		"working, 1s left": {"working", ", 1s left", 16}, "working…, 1s left": {"working long", ", 1s left", 17}, "working l…": {"working long", ", 1s left", 10},
		"working long": {"working long", ", 1s left", 14}, // the text keeps eight letters, or the end goes
		"…":            {"working", "", 1}, "": {"working", ", 1s left", 0}, "ab, 1s left": {"ab", ", 1s left", 11},
	} {
		if got := fit(c.text, c.end, c.columns); got != want {
			t.Errorf("%q and %q in %d columns: %q, want %q", c.text, c.end, c.columns, got, want)
		}
	}
}

// Colours appear only on terminals, and not if NO_COLOR is set.
func TestColours(t *testing.T) {
	for _, c := range []struct {
		term, noColor string
		want          bool
	}{{"xterm", "", true}, {"xterm", "1", false}, {"dumb", "", false}} {
		t.Setenv("TERM", c.term)
		t.Setenv("NO_COLOR", c.noColor)
		for _, line := range []string{"nonsense", "compare"} { // two kinds of errors
			shown := onScreen(t, t.Context(), line)
			if strings.Contains(shown, "\x1b[31mmetaopt") != c.want || strings.Contains(shown, "\x1b") != c.want {
				t.Errorf("TERM=%s NO_COLOR=%s: %q", c.term, c.noColor, shown)
			}
		}
	}
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	if a := cli(t.Context(), "nonsense"); strings.Contains(a.stderr, "\x1b") {
		t.Errorf("colours where there is no terminal: %q", a.stderr)
	}
}
