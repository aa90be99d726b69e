package distributed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"learnedopt/distributed/embedded"
	"learnedopt/metatrain"
	"learnedopt/recipe"
)

func init() {
	roles["two networks"], roles["far worker"] = networksRole, farRole
}

// A worker on another network, whose link goes down in the middle of a training and comes up again. Both networks are namespaces of
// this test's own.
func TestPartitionOfNetworks(t *testing.T) {
	if out, err := exec.Command("unshare", "-rn", "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1").CombinedOutput(); err != nil {
		t.Skipf("network namespaces cannot be made here (util-linux, iproute2, and a kernel that lets users have them): %v %s", err, out)
	}
	cmd := exec.Command("unshare", "-rn", os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"=two networks")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

const (
	nearAddress = "10.41.7.1"
	farAddress  = "10.41.7.2"
)

func command(args ...string) error {
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// networksRole runs server, coordinator and a worker in one network, and another worker in a second one.
func networksRole(string) error {
	if err := errors.Join(command("ip", "link", "set", "lo", "up"), command("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1"),
		command("ip", "addr", "add", nearAddress+"/24", "dev", "v0"), command("ip", "link", "set", "v0", "up")); err != nil {
		return err
	}
	server, err := embedded.Start(embedded.Config{Listen: nearAddress + ":0"})
	if err != nil {
		return err
	}
	defer server.Close()
	far := exec.Command("unshare", "-n", os.Args[0])
	far.Env = append(os.Environ(), roleEnv+"=far worker", urlEnv+"="+server.URL())
	far.Stderr = os.Stderr
	if err := far.Start(); err != nil {
		return err
	}
	defer func() {
		_ = far.Process.Kill() // it may have ended
		_ = far.Wait()
	}()
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return err
	}
	pid := strconv.Itoa(far.Process.Pid)
	if err := until("the other network", func() bool {
		there, err := os.Readlink("/proc/" + pid + "/ns/net")
		return err == nil && there != here
	}); err != nil {
		return err
	}
	if err := command("ip", "link", "set", "v1", "netns", pid); err != nil {
		return err
	}
	return partition(server.URL())
}

// last is the number of meta-steps: at 50 ms each, more than twice the lease is left after the link went down.
const last = 60

// partition trains, takes the link down after ten meta-steps, and up when the far worker is given up.
func partition(url string) error {
	ctx := context.Background()
	r, err := recipe.Parse([]byte("{" + tiny + `, "meta_batch": 3, "meta_steps": ` + strconv.Itoa(last) + "}"))
	if err != nil {
		return err
	}
	r = r.WithDefaults()
	want, err := train(ctx, r, nil, nil, nil)
	if err != nil {
		return err
	}
	n := &notes{}
	heard := func(word string, times int) error {
		return until(fmt.Sprintf("%d times %q", times, word), func() bool { return strings.Count(n.String(), word) >= times })
	}
	conn, err := Connect(ctx, Server{URL: url}, "test")
	if err != nil {
		return err
	}
	defer conn.Close()
	c, err := Coordinate(ctx, conn, Training{Recipe: r}, Options{Lease: time.Second, Note: n.add})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := heard("takes part", 1); err != nil { // the far one is there first and has work
		return err
	}
	near, err := Connect(ctx, Server{URL: url}, "test")
	if err != nil {
		return err
	}
	defer near.Close()
	w, err := NewWorker(near, WorkerConfig{Slots: 1})
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- w.Run(working) }()
	defer func() { stop(); <-done }()
	if err := heard("takes part", 2); err != nil {
		return err
	}
	cut := false
	got, err := train(ctx, r, c.Executor(r.Seed), nil, func(tr *metatrain.Trainer) error {
		switch {
		case tr.MetaSteps() == 10:
			cut = true
			return command("ip", "link", "set", "v0", "down")
		case cut && strings.Contains(n.String(), "has gone"):
			cut = false
			return errors.Join(command("ip", "link", "set", "v0", "up"), heard("takes part", 3))
		case cut && tr.MetaSteps() == last:
			return errors.New("the far worker is not given up: " + n.String())
		case cut: // who is gone is found while work is done: let the lease pass before it is all done
			time.Sleep(50 * time.Millisecond)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w; %s", err, n)
	}
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("other bits than those of the training in one process; %s", n)
	}
	return nil
}

func farRole(url string) error {
	if err := until("the link", func() bool { return command("ip", "addr", "add", farAddress+"/24", "dev", "v1") == nil }); err != nil {
		return err
	}
	if err := command("ip", "link", "set", "v1", "up"); err != nil {
		return err
	}
	var c *Conn
	if err := until("a connection", func() (ok bool) {
		var err error
		c, err = Connect(context.Background(), Server{URL: url}, "test")
		return err == nil
	}); err != nil {
		return err
	}
	w, err := NewWorker(c, WorkerConfig{Slots: 1})
	if err != nil {
		return err
	}
	return w.Run(context.Background())
}

// until waits until something is true. A bound of a minute ends a test that would wait for ever.
func until(what string, ok func() bool) error {
	for range 6000 {
		if ok() {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("there is no %s", what)
}
