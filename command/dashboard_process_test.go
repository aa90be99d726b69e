//go:build unix

package command

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The dashboard prints its address, answers requests, and ends properly after an interrupt.
func TestDashboardEndsAtAnInterrupt(t *testing.T) {
	program := binary(t)
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		cmd := exec.Command(program, "dashboard", t.TempDir())
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 200)
		n, err := stdout.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		address := strings.TrimSpace(string(buf[:n]))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		req, err := http.NewRequestWithContext(ctx, "GET", address, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		cancel()
		if err != nil || !strings.Contains(string(body), "Runs and sweeps") || !strings.HasPrefix(address, "http://127.0.0.1:") {
			t.Errorf("%s: %v: %.100s", address, err, body)
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if code := exitCode(t, cmd.Wait()); code != 0 {
			t.Errorf("%v: exit %d, want 0", signal, code)
		}
	}
}
