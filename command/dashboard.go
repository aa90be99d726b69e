package command

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"learnedopt/htmlreport"
	"learnedopt/metaopt"
)

// dashboardFlags are the flags of metaopt dashboard.
type dashboardFlags struct {
	listen string
	remote bool
	hosts  []string
}

func newDashboard(a *app) *cobra.Command {
	f := dashboardFlags{listen: "127.0.0.1:0"}
	cmd := &cobra.Command{
		Use:   "dashboard DIR",
		Short: "Show run folders and sweep folders in a browser while they grow",
		Long: `Serve the pages of metaopt report for the run folders and sweep folders at and below a folder,
live: curves grow with the log, finished cells fill the heat map. A page that is left open
follows a run that starts again, and this command when it is started again at the same
address. It only reads, and answers this machine alone unless --listen and --allow-remote
say otherwise: whoever reaches it can see all runs, so use it in a network that you trust.
Ctrl-C ends it.`,
		Example: `  metaopt dashboard runs
  metaopt dashboard sweeps/mnist --listen 127.0.0.1:8080`,
		Args:              exactArgs("a folder"),
		ValidArgsFunction: completeFolders,
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd.Context(), a, args[0])
		},
	}
	fs := cmd.Flags()
	fs.Var(textFlag{&f.listen, "HOST:PORT"}, "listen", "address to listen on; port 0 is any that is free")
	fs.BoolVar(&f.remote, "allow-remote", false, "let --listen name an address that other machines reach")
	fs.StringSliceVar(&f.hosts, "allow-host", nil, "`NAMES` of hosts, besides that of --listen, that requests may be for: a proxy's")
	complete(cmd, "listen", "127.0.0.1:0", "127.0.0.1:8080", "[::1]:8080")
	return cmd
}

func (f *dashboardFlags) run(ctx context.Context, a *app, dir string) error {
	host, err := f.host()
	if err != nil {
		return err
	}
	if info, err := os.Stat(dir); err != nil {
		return fmt.Errorf("%w; name a folder with runs or sweeps, or one that will have them", err)
	} else if !info.IsDir() {
		return fmt.Errorf("%s is not a folder; name the folder that it is in", dir)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", f.listen)
	if err != nil {
		return fmt.Errorf("%w; choose another address with --listen", err)
	}
	defer listener.Close()
	fmt.Fprintf(a.stdout, "http://%s/\n", listener.Addr())
	a.note("showing %s; Ctrl-C ends", dir)
	return htmlreport.Serve(ctx, listener, dir, append([]string{host}, f.hosts...), metaopt.Version())
}

// host returns the host of --listen. It is an error if other machines could reach it and --allow-remote is not set.
func (f *dashboardFlags) host() (string, error) {
	host, _, err := net.SplitHostPort(f.listen)
	if err != nil {
		return "", usagef("--listen %s: it must be HOST:PORT, as 127.0.0.1:8080", f.listen)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) && !f.remote {
		return "", usagef("--listen %s is reached by other machines, which could read all runs; say --allow-remote if that is meant, or listen on 127.0.0.1", f.listen)
	}
	return host, nil
}
