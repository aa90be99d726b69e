package htmlreport

import (
	"bytes"
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Limits of the dashboard.
const (
	maxConnections = 64
	maxStreams     = 32
	maxHeader      = 16 << 10 // bytes
)

// A dashboard answers requests for the folders at and below root.
type dashboard struct {
	root    string
	version string
	host    string // that it listens on, as the user wrote it
	every   time.Duration
	streams chan struct{}
}

// Serve answers requests for the folders at and below dir on a listener until ctx ends, and then returns nil. It only
// reads. host is the name or address that the listener was asked for: requests for other names than it, localhost and plain addresses are
// refused, so that no foreign page reaches it by a name that it points here. version is that of the program.
func Serve(ctx context.Context, listener net.Listener, dir, host, version string) error {
	d := newDashboard(dir, host, version)
	server := &http.Server{
		Handler: d.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    log.New(discard{}, "", 0), // clients' faults
	}
	stop := context.AfterFunc(ctx, func() {
		soon, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if server.Shutdown(soon) != nil {
			server.Close()
		}
	})
	defer stop()
	err := server.Serve(&limited{Listener: listener, slots: make(chan struct{}, maxConnections)})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func newDashboard(dir, host, version string) *dashboard {
	return &dashboard{root: dir, version: version, host: strings.ToLower(host), every: pollEvery, streams: make(chan struct{}, maxStreams)}
}

func (d *dashboard) handler() http.Handler {
	mux := http.NewServeMux() // GET stands for HEAD too; anything else is not allowed
	mux.HandleFunc("GET /{$}", d.front)
	mux.HandleFunc("GET /list", d.list)
	mux.HandleFunc("GET /view/{path...}", d.view)
	mux.HandleFunc("GET /events/{path...}", d.events)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy(true)+"; frame-ancestors 'none'")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cache-Control", "no-store")
		if !d.known(req.Host) {
			http.Error(w, "this server does not answer to that name; use its address", http.StatusMisdirectedRequest)
			return
		}
		mux.ServeHTTP(w, req)
	})
}

// known says whether a Host header names this server and not a domain that someone else points to it.
func (d *dashboard) known(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	return host == "localhost" || host == d.host && host != "" || net.ParseIP(host) != nil
}

// front is the page of root itself, or the list of the folders below if it is no run and no sweep.
func (d *dashboard) front(w http.ResponseWriter, req *http.Request) {
	if (folder{d.root, "."}).kind() != "" {
		d.page(w, req, Page{Title: filepath.Base(d.root), Live: "/events/"})
		return
	}
	d.page(w, req, Page{Title: "Runs and sweeps", List: "/list"})
}

func (d *dashboard) page(w http.ResponseWriter, req *http.Request, p Page) {
	p.Version = d.version
	var b bytes.Buffer
	if err := Write(&b, p); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if req.Method != http.MethodHead {
		_, _ = w.Write(b.Bytes()) // the client went
	}
}

// asked returns the folder that a request names. It may not exist: it may come.
func (d *dashboard) asked(w http.ResponseWriter, req *http.Request) (folder, bool) {
	rel := path.Clean(req.PathValue("path"))
	if !filepath.IsLocal(filepath.FromSlash(rel)) || strings.ContainsRune(rel, 0) || len(rel) > maxText {
		http.Error(w, "no such folder", http.StatusNotFound)
		return folder{}, false
	}
	return folder{d.root, rel}, true
}

func (d *dashboard) view(w http.ResponseWriter, req *http.Request) {
	if dir, ok := d.asked(w, req); ok {
		d.page(w, req, Page{Title: d.nameOf(dir), Live: (&url.URL{Path: "/events/" + dir.rel}).EscapedPath()})
	}
}

func (d *dashboard) nameOf(dir folder) string {
	if dir.rel == "." {
		return filepath.Base(d.root)
	}
	return dir.rel
}

func (d *dashboard) events(w http.ResponseWriter, req *http.Request) {
	dir, ok := d.asked(w, req)
	if !ok {
		return
	}
	r := newReader(dir, d.nameOf(dir))
	var c cursor
	d.stream(w, req, func() (string, any) {
		for r.poll() && req.Context().Err() == nil {
		}
		event, s := c.message(r)
		return event, s
	})
}

// limited is a listener with a bound on the connections that are open.
type limited struct {
	net.Listener
	slots chan struct{}
}

// Accept waits for a slot and a connection. Serve's end closes all connections, which frees the slots.
func (l *limited) Accept() (net.Conn, error) {
	l.slots <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &slotted{Conn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

// slotted is a connection that holds a slot.
type slotted struct {
	net.Conn
	free func()
}

// Close implements net.Conn.
func (c *slotted) Close() error {
	defer c.free()
	return c.Conn.Close()
}
