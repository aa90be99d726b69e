package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A Fetcher downloads data sets. Its zero value is ready for use.
type Fetcher struct {
	// Client makes the requests; nil means http.DefaultClient. A redirect that leaves https is
	// refused, whatever the client's own policy.
	Client *http.Client
	// Stall is the time limit for each 16 KiB: if a mirror sends less in this time, the
	// next mirror is tried. 0 means 30 seconds.
	Stall time.Duration
	// Progress, if set, is called often, with the number of bytes of a file that have arrived and
	// the file's size in bytes.
	Progress func(file string, done, total int64)
}

// An Error says that no mirror delivered a file.
type Error struct {
	// Path is the path where Fetch would have put the file.
	Path string
	// There says that a file with another sum exists at Path. It may be a good file with another compression.
	There bool
	// Mirrors holds the error of each attempt, in order.
	Mirrors []MirrorError
}

// A MirrorError says why a download from one mirror failed.
type MirrorError struct {
	URL string
	Err error
}

// Error implements error, with one line for each mirror.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "tasks/fetch: no mirror has %s:", e.Path)
	for _, m := range e.Mirrors {
		fmt.Fprintf(&b, "\n  %s: %v", m.URL, m.Err)
	}
	if e.There {
		b.WriteString("\nthe file that is there has another sum: if it is yours and can be read, nothing needs to be fetched")
	}
	b.WriteString("\ntry again later, or put the file there by hand")
	return b.String()
}

// Unwrap returns the mirrors' errors.
func (e *Error) Unwrap() []error {
	var errs []error
	for _, m := range e.Mirrors {
		errs = append(errs, m.Err)
	}
	return errs
}

// Fetch puts the files of a data set into the folder dir/d.Name. If a file with
// the right sum exists, it is left alone. A file with another sum is replaced, but only
// after the right one has arrived. An unfinished download stays in the folder as
// NAME.part, and the next Fetch continues it. Only one Fetch may use a folder at a time.
//
// If no mirror delivers a file the error is an *Error. If ctx is cancelled the error wraps its cause.
func (f Fetcher) Fetch(ctx context.Context, dir string, d Dataset) error {
	folder := filepath.Join(dir, d.Name)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("tasks/fetch: %w", err)
	}
	for _, file := range d.Files {
		if err := f.file(ctx, filepath.Join(folder, file.Name), file); err != nil {
			return err
		}
	}
	return nil
}

// file fetches one file from the first mirror that has it.
func (f Fetcher) file(ctx context.Context, path string, file File) error {
	if sum, err := sumOf(path); err == nil && sum == file.SHA256 {
		f.report(file, file.Size)
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("tasks/fetch: %w", err)
	}
	failed := &Error{Path: path, There: sizeOf(path) > 0}
	for _, address := range file.URLs {
		resumed := sizeOf(path+".part") > 0
		err := f.mirror(ctx, path, file, address)
		if errors.Is(err, errSum) && resumed {
			// The fault may be in the first part of the file, which another mirror may have sent.
			err = f.mirror(ctx, path, file, address)
		}
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("tasks/fetch: %s: %w", path, context.Cause(ctx))
		}
		failed.Mirrors = append(failed.Mirrors, MirrorError{address, err})
	}
	return failed
}

// progress is the number of bytes that a mirror must send within Stall to get more time.
const progress = 16 << 10

var (
	errSum   = errors.New("wrong SHA-256 sum")
	errStall = errors.New("the mirror has stopped sending, or nearly so,")
)

// mirror continues path.part from one mirror, checks it and moves it into place.
func (f Fetcher) mirror(ctx context.Context, path string, file File, address string) error {
	part := path + ".part"
	if sizeOf(part) < file.Size {
		if err := f.download(ctx, part, file, address); err != nil {
			return err
		}
	}
	sum, err := sumOf(part)
	if err != nil {
		return err
	}
	if sum != file.SHA256 {
		return errors.Join(fmt.Errorf("%w %s, want %s", errSum, sum, file.SHA256), os.Remove(part))
	}
	return os.Rename(part, path)
}

// download appends the missing bytes to part.
func (f Fetcher) download(ctx context.Context, part string, file File, address string) (err error) {
	stall := f.Stall
	if stall == 0 {
		stall = 30 * time.Second
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(stall, func() { cancel(fmt.Errorf("%w for %v", errStall, stall)) })
	defer watchdog.Stop()
	defer func() {
		if err != nil && errors.Is(context.Cause(ctx), errStall) {
			err = context.Cause(ctx)
		}
	}()

	offset := sizeOf(part)
	response, err := f.get(ctx, address, offset)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	switch {
	case response.StatusCode == http.StatusPartialContent && offset > 0:
		if got := response.Header.Get("Content-Range"); !strings.HasPrefix(got, fmt.Sprintf("bytes %d-", offset)) {
			return fmt.Errorf("asked for the bytes from %d, was sent %q", offset, got)
		}
	case response.StatusCode == http.StatusOK:
		offset, flags = 0, flags|os.O_TRUNC // the mirror cannot resume: start from the beginning
	case response.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return errors.Join(fmt.Errorf("has fewer than %d bytes: %s", offset+1, response.Status), os.Remove(part))
	default:
		return fmt.Errorf("status %s", response.Status)
	}
	if n := response.ContentLength; n >= 0 && offset+n != file.Size {
		return fmt.Errorf("offers %d bytes, want %d", offset+n, file.Size)
	}
	out, err := os.OpenFile(part, flags, 0o644)
	if err != nil {
		return err
	}
	// unwatched is the number of bytes since the watchdog was last reset. Single bytes do not reset it, so that a very slow
	// mirror counts as stalled.
	unwatched := 0
	body := &watchedReader{Reader: response.Body, seen: func(n int) {
		if unwatched += n; unwatched >= progress {
			watchdog.Reset(stall)
			unwatched = 0
		}
		offset += int64(n)
		f.report(file, min(offset, file.Size))
	}}
	_, err = io.Copy(out, io.LimitReader(body, file.Size-offset+1))
	if err == nil {
		err = out.Sync()
	}
	err = errors.Join(err, out.Close())
	switch {
	case offset > file.Size:
		return errors.Join(fmt.Errorf("sent more than %d bytes", file.Size), os.Remove(part))
	case err != nil:
		return fmt.Errorf("after %d of %d bytes: %w", offset, file.Size, err)
	case offset < file.Size:
		return fmt.Errorf("ended after %d of %d bytes", offset, file.Size)
	}
	return nil
}

// get requests the bytes of an address from an offset on.
func (f Fetcher) get(ctx context.Context, address string, offset int64) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if err := httpsOnly(request.URL); err != nil {
		return nil, err
	}
	// The sums belong to the compressed files, so the client must not unzip them.
	request.Header.Set("Accept-Encoding", "identity")
	if offset > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	client := http.Client{}
	if f.Client != nil {
		client = *f.Client
	}
	client.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if len(via) >= 5 {
			return errors.New("more than 5 redirects")
		}
		return httpsOnly(next.URL)
	}
	response, err := client.Do(request)
	var wrapper *url.Error // unwrapped, because it would repeat the address
	if errors.As(err, &wrapper) {
		err = wrapper.Err
	}
	return response, err
}

func httpsOnly(u *url.URL) error {
	if u.Scheme != "https" {
		return fmt.Errorf("refused to go to %s: not https", u)
	}
	return nil
}

func (f Fetcher) report(file File, done int64) {
	if f.Progress != nil {
		f.Progress(file.Name, done, file.Size)
	}
}

// watchedReader reports the number of bytes of each Read.
type watchedReader struct {
	io.Reader
	seen func(n int)
}

func (r *watchedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 {
		r.seen(n)
	}
	return n, err
}

func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
