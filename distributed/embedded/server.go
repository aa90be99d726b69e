// Package embedded runs a server of NATS with JetStream in this process, for tests and for one machine.
package embedded

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A Server is a running server.
type Server struct {
	server *server.Server
	dir    string // to be removed, "" if the caller named the folder
}

// Config says where a server listens and keeps its data.
type Config struct {
	// Listen is the address, such as 127.0.0.1:4222; the port 0 stands for a free one. The server listens on nothing else.
	Listen string
	// Store is the folder of its data, which outlive the server. Default: a temporary folder, which Close removes.
	Store string
	// MaxStore is the most bytes that the server keeps. Default: as much as the disk has.
	MaxStore int64
}

// MaxPayload is the largest message of an embedded server, in bytes: enough for the meta-gradient of a network with a million
// parameters.
const MaxPayload = 8 << 20

// Start starts a server and waits until it accepts connections.
func Start(c Config) (*Server, error) {
	host, portText, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, fmt.Errorf("embedded: %w; an address is HOST:PORT, as 127.0.0.1:4222", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil || host == "" {
		return nil, fmt.Errorf("embedded: the address %s; it must be HOST:PORT, as 127.0.0.1:4222", c.Listen)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	s := &Server{}
	if c.Store == "" {
		if s.dir, err = os.MkdirTemp("", "metaopt-nats-"); err != nil {
			return nil, fmt.Errorf("embedded: %w", err)
		}
		c.Store = s.dir
	}
	s.server, err = server.NewServer(&server.Options{
		Host: host, Port: port, JetStream: true, StoreDir: c.Store, JetStreamMaxStore: c.MaxStore,
		MaxPayload: MaxPayload, NoSigs: true, NoLog: true,
	})
	if err == nil {
		s.server.Start()
		if !s.server.ReadyForConnections(10 * time.Second) {
			err = fmt.Errorf("the address %s cannot be listened on", c.Listen)
		}
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("embedded: %w; name another one with --nats-listen", err)
	}
	return s, nil
}

// URL returns the address for clients.
func (s *Server) URL() string { return s.server.ClientURL() }

// Close ends the server.
func (s *Server) Close() {
	if s.server != nil {
		s.server.Shutdown()
		s.server.WaitForShutdown()
	}
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}
