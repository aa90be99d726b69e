package command

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"learnedopt/distributed"
	"learnedopt/distributed/embedded"
	"learnedopt/distributed/fleet"
	"learnedopt/metatrain"
	"learnedopt/recipe"
	"learnedopt/runfolder"
	"learnedopt/sweep"
)

// serverFlags say how to reach a server of NATS.
type serverFlags struct{ distributed.Server }

func (f *serverFlags) add(cmd *cobra.Command, usage string) {
	fs := cmd.Flags()
	fs.Var(textFlag{&f.URL, "URL"}, "nats", usage)
	fs.Var(textFlag{&f.Creds, "FILE"}, "nats-creds", "credentials of a user of --nats")
	fs.Var(textFlag{&f.CA, "FILE"}, "nats-ca", "certificates, in PEM, that the server of --nats must descend from")
	fs.Var(textFlag{&f.Cert, "FILE"}, "nats-cert", "certificate of this client of --nats, in PEM; needs --nats-key")
	fs.Var(textFlag{&f.Key, "FILE"}, "nats-key", "private key of --nats-cert, in PEM")
}

// check refuses flags that say nothing without another one.
func (f *serverFlags) check() error {
	switch {
	case f.URL == "" && (f.Creds != "" || f.CA != "" || f.Cert != "" || f.Key != ""):
		return usagef("--nats-creds, --nats-ca, --nats-cert and --nats-key are about the server of --nats; set it")
	case (f.Cert == "") != (f.Key == ""):
		return usagef("--nats-cert and --nats-key belong together; set both or none")
	}
	return nil
}

// embeddedURL is the value of --nats for a server in this process, and embeddedListen where it listens unless --nats-listen says.
const (
	embeddedURL    = "embedded"
	embeddedListen = "127.0.0.1:4222"
)

// natsFlags say how a coordinator works with many machines.
type natsFlags struct {
	serverFlags
	listen  string
	lease   time.Duration
	anyPath bool
}

func (f *natsFlags) add(cmd *cobra.Command, what string) {
	f.lease = distributed.DefaultLease
	f.serverFlags.add(cmd, "have "+what+" computed by the workers of a server of NATS, as nats://host:4222, or by those of one in this process: "+embeddedURL)
	fs := cmd.Flags()
	fs.Var(textFlag{&f.listen, "HOST:PORT"}, "nats-listen", "address of --nats "+embeddedURL+" ("+embeddedListen+" unless set)")
	fs.Var(spanFlag{&f.lease}, "nats-lease", "time after which the work of a silent worker goes to others")
	fs.BoolVar(&f.anyPath, "any-path", false, "let workers of other builds or kernels take part: the result is then not the same bits as in one process")
}

// natsFlagNames are the flags of natsFlags.
var natsFlagNames = []string{"nats", "nats-creds", "nats-ca", "nats-cert", "nats-key", "nats-listen", "nats-lease", "any-path"}

// A coordination is the connection of a coordinator, with the job that it leads: a training or a sweep.
type coordination struct {
	server      *embedded.Server
	conn        *distributed.Conn
	coordinator *distributed.Coordinator
	unwatch     func()
	sweep       *distributed.SweepCoordinator
}

// check refuses flags that contradict each other, or say nothing without another one.
func (f *natsFlags) check() error {
	switch {
	case f.URL == "" && (f.listen != "" || f.anyPath):
		return usagef("--nats-listen and --any-path are about the workers of --nats; set it")
	case f.URL != "" && f.URL != embeddedURL && f.listen != "":
		return usagef("--nats-listen is the address of --nats %s; %s has its own", embeddedURL, f.URL)
	}
	return f.serverFlags.check()
}

// open connects to the server of the flags, or starts it. It returns nil without --nats.
func (f *natsFlags) open(ctx context.Context, a *app) (*coordination, error) {
	if err := f.check(); err != nil || f.URL == "" {
		return nil, err
	}
	c := &coordination{}
	server := f.Server
	if f.URL == embeddedURL {
		if f.listen == "" {
			f.listen = embeddedListen
		}
		var err error
		if c.server, err = embedded.Start(embedded.Config{Listen: f.listen}); err != nil {
			return nil, err
		}
		server = distributed.Server{URL: c.server.URL()}
		a.note("a server of NATS listens at %s; on this machine: metaopt worker --nats %[1]s", server.URL)
	}
	var err error
	if c.conn, err = distributed.Connect(ctx, server, "coordinator"); err != nil {
		c.close()
		return nil, err
	}
	if f.anyPath {
		a.note("--any-path: workers of any build take part, so neither metaopt verify nor a second run need give the same bits")
	}
	return c, nil
}

func (f *natsFlags) options(ctx context.Context, a *app) distributed.Options {
	return distributed.Options{Lease: f.lease, AnyPath: f.anyPath, Memory: f.URL == embeddedURL, Stopping: ctx.Done(), Note: a.note}
}

// executor returns what makes the executors of a training. It takes the training's lease when it is first called.
func (f *natsFlags) executor(ctx context.Context, a *app, c *coordination) runfolder.MakeExecutor {
	return func(r recipe.Recipe, local recipe.Local, cfg metatrain.TrainConfig) (metatrain.Executor, error) {
		if c.coordinator == nil {
			data, err := r.Checksum(local.DataDir)
			if err != nil {
				return nil, err
			}
			c.coordinator, err = distributed.Coordinate(ctx, c.conn, distributed.Training{Recipe: r, Init: local.Init, Data: data}, f.options(ctx, a))
			if err != nil {
				return nil, err
			}
		}
		return c.coordinator.Executor(cfg.Seed), nil
	}
}

// watchEvery is the time between two writings of the file that the dashboard shows workers from.
const watchEvery = 2 * time.Second

// watch keeps the file of the workers in a run folder up to date until close, which removes it. A nil coordination has none.
func (c *coordination) watch(dir string) {
	if c == nil || c.coordinator == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.coordinator.Watch(ctx, watchEvery, func(s *fleet.Status) {
			_ = fleet.Write(dir, s) // the training goes on without it
		})
	}()
	c.unwatch = func() {
		cancel()
		<-done
		_ = os.Remove(filepath.Join(dir, fleet.File)) // it may not be there
	}
}

// sweepExecutor returns what computes a sweep. It takes the sweep's lease.
func (f *natsFlags) sweepExecutor(ctx context.Context, a *app, c *coordination, p *sweep.Plan) (_ sweep.Executor, err error) {
	o := f.options(ctx, a)
	o.Stopping = nil // an interrupt does not wait for the cells that are being computed
	if c.sweep, err = distributed.CoordinateSweep(ctx, c.conn, p, o); err != nil {
		return nil, err
	}
	return c.sweep, nil
}

// close ends the coordination. A nil one has nothing to end.
func (c *coordination) close() {
	if c == nil {
		return
	}
	if c.unwatch != nil {
		c.unwatch()
	}
	if c.coordinator != nil {
		c.coordinator.Close()
	}
	if c.sweep != nil {
		c.sweep.Close()
	}
	if c.conn != nil {
		c.conn.Close()
	}
	if c.server != nil {
		c.server.Close()
	}
}
