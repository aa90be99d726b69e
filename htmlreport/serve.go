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
	"slices"
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
	hosts   []string // the host that it listens on, as the user wrote it, and others by which it may be called
	every   time.Duration
	streams chan struct{}
}

// Serve answers requests for the folders at and below dir on a listener until ctx ends, and then returns nil. It writes
// no files. hosts are the name or address that the user asked to listen on, and names by which proxies ask for it. Serve refuses
// requests for names other than these, localhost and plain addresses: a foreign page could otherwise reach the server by a
// name of its own that it points to this machine. Pages name each other relative to their own addresses, so a proxy may serve them
// below a prefix. version is the version of the program.
func Serve(ctx context.Context, listener net.Listener, dir string, hosts []string, version string) error {
	d := newDashboard(dir, hosts, version)
	server := &http.Server{
		Handler: d.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    log.New(discard{}, "", 0), // it would only hold faults of clients
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

func newDashboard(dir string, hosts []string, version string) *dashboard {
	d := &dashboard{root: dir, version: version, every: pollEvery, streams: make(chan struct{}, maxStreams)}
	for _, host := range hosts {
		d.hosts = append(d.hosts, strings.ToLower(host))
	}
	return d
}

func (d *dashboard) handler() http.Handler {
	mux := http.NewServeMux() // a GET pattern also matches HEAD; other methods are not allowed
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
		if !d.knownHost(req.Host) {
			http.Error(w, "this server does not answer to that name; use its address, or start it with --allow-host NAME", http.StatusMisdirectedRequest)
			return
		}
		mux.ServeHTTP(w, req)
	})
}

// knownHost reports whether a Host header names this server. It is false for a domain that someone else points to this server.
func (d *dashboard) knownHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	return host == "localhost" || host != "" && slices.Contains(d.hosts, host) || net.ParseIP(host) != nil
}

// front serves the page of root itself if it is a run or a sweep, else the list of the folders below it.
func (d *dashboard) front(w http.ResponseWriter, req *http.Request) {
	if (folder{d.root, "."}).kind() != "" {
		d.page(w, req, Page{Title: filepath.Base(d.root), Live: "events/"})
		return
	}
	d.page(w, req, Page{Title: "Runs and sweeps", List: "list"})
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
		_, _ = w.Write(b.Bytes()) // an error means that the client has gone
	}
}

// requestedFolder returns the folder that a request names. The folder need not exist yet.
func (d *dashboard) requestedFolder(w http.ResponseWriter, req *http.Request) (folder, bool) {
	rel := path.Clean(req.PathValue("path"))
	if !filepath.IsLocal(filepath.FromSlash(rel)) || strings.ContainsRune(rel, 0) || len(rel) > maxText {
		http.Error(w, "no such folder", http.StatusNotFound)
		return folder{}, false
	}
	return folder{d.root, rel}, true
}

func (d *dashboard) view(w http.ResponseWriter, req *http.Request) {
	dir, ok := d.requestedFolder(w, req)
	if !ok {
		return
	}
	if dir.kind() == "" {
		http.Error(w, "no run and no sweep in "+dir.rel, http.StatusNotFound)
		return
	}
	// The address of this page has as many slashes below the server's prefix as there are folders to leave.
	up := strings.Repeat("../", strings.Count(req.URL.EscapedPath(), "/")-1)
	d.page(w, req, Page{Title: d.nameOf(dir), Live: up + strings.TrimPrefix((&url.URL{Path: "/events/" + dir.rel}).EscapedPath(), "/"), Home: up})
}

func (d *dashboard) nameOf(dir folder) string {
	if dir.rel == "." {
		return filepath.Base(d.root)
	}
	return dir.rel
}

func (d *dashboard) events(w http.ResponseWriter, req *http.Request) {
	dir, ok := d.requestedFolder(w, req)
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

// limited is a listener with a bound on the number of open connections.
type limited struct {
	net.Listener
	slots chan struct{}
}

// Accept waits for a free slot and then for a connection. When Serve ends, it closes all connections, which frees the slots.
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
