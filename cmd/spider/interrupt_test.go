package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A signal to a command that tries packages ends what it has started before it ends
// itself, with the signal's status.
func TestInterrupt(t *testing.T) {
	heedSignals(t, syscall.SIGINT, syscall.SIGTERM)
	for _, tt := range []struct {
		args   []string
		signal syscall.Signal
		want   int
	}{
		{[]string{"inspect", "hangs"}, syscall.SIGINT, 130},
		{[]string{"packages"}, syscall.SIGTERM, 143},
		{[]string{"doctor"}, syscall.SIGINT, 130},
	} {
		t.Run(tt.args[0], func(t *testing.T) {
			dir := t.TempDir()
			fifo := filepath.Join(dir, ".started")
			if err := unix.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			// A package that tells its pid when it is started, and then hangs.
			program := filepath.Join(dir, "hangs", "hangs")
			if err := os.Mkdir(filepath.Dir(program), 0o755); err != nil {
				t.Fatal(err)
			}
			syscall.ForkLock.RLock() // a child would keep it open for writing
			err := os.WriteFile(program, []byte("#!/bin/sh\necho $$ >'"+fifo+"'\nexec sleep 1000\n"), 0o755)
			syscall.ForkLock.RUnlock()
			if err != nil {
				t.Fatal(err)
			}
			spider := exec.Command("spider", append(tt.args, "--timeout", "10m", "--package-dir", dir)...)
			spider.Env = append(os.Environ(), "SPIDER_CONFIG=/dev/null")
			var stdout, stderr bytes.Buffer
			spider.Stdout, spider.Stderr = &stdout, &stderr
			if err := spider.Start(); err != nil {
				t.Fatal(err)
			}
			defer spider.Process.Kill()
			text, err := os.ReadFile(fifo)
			if err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			if err := spider.Process.Signal(tt.signal); err != nil {
				t.Fatal(err)
			}
			var exit *exec.ExitError
			if err := spider.Wait(); !errors.As(err, &exit) || exit.ExitCode() != tt.want {
				t.Errorf("spider: %v, want exit status %d", err, tt.want)
			}
			if !gone(pid) {
				t.Errorf("the package %d lives on", pid)
			}
			if stdout.Len() > 0 || !strings.HasPrefix(stderr.String(), "spider: stopped by signal ") || strings.Count(stderr.String(), "\n") != 1 {
				t.Errorf("stdout %q, stderr %q", &stdout, &stderr)
			}
		})
	}
}
