package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// A signal to spider ends the executor and its group before spider itself ends.
func TestStop(t *testing.T) {
	built := build(t)
	heedSignals(t, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	for _, tt := range []struct {
		signal syscall.Signal
		want   int
		text   string
	}{
		{syscall.SIGHUP, 129, "signal SIGHUP (hangup)"},
		{syscall.SIGINT, 130, "signal SIGINT (interrupt)"},
		{syscall.SIGTERM, 143, "signal SIGTERM (terminated)"},
	} {
		t.Run(tt.text, func(t *testing.T) {
			spider := exec.Command("spider", "run", "--executor", built.Executor, "--package-dir", built.Packages,
				"misbehave", "block_forever")
			// The executor then tells its pid, and when it comes to the task.
			spider.Env = append(os.Environ(), "SPIDER_LOG=info", "SPIDER_CONFIG=/dev/null", "XDG_CACHE_HOME="+t.TempDir())
			var stdout bytes.Buffer
			spider.Stdout = &stdout
			stderr, err := spider.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := spider.Start(); err != nil {
				t.Fatal(err)
			}
			defer spider.Process.Kill()

			lines := bufio.NewReader(stderr)
			executor := awaitTask(t, lines)
			if err := spider.Process.Signal(tt.signal); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(lines)
			if err != nil {
				t.Fatal(err)
			}
			var exit *exec.ExitError
			if err := spider.Wait(); !errors.As(err, &exit) || exit.ExitCode() != tt.want {
				t.Errorf("spider: %v, want exit status %d", err, tt.want)
			}
			if !gone(executor) {
				t.Errorf("executor %d lives on", executor)
			}
			want := "spider: task block_forever of package misbehave: stopped by " + tt.text + "\n"
			if string(rest) != want {
				t.Errorf("stderr %q, want %q", rest, want)
			}
			if stdout.Len() > 0 {
				t.Errorf("stdout %q, want nothing", &stdout)
			}
		})
	}
}

// awaitTask reads the executor's log until the package is loaded, and returns
// the executor's pid.
func awaitTask(t *testing.T, stderr *bufio.Reader) (pid int) {
	t.Helper()
	for {
		line, err := stderr.ReadString('\n')
		if err != nil {
			t.Fatalf("stderr ended before the task began: %q, %v", line, err)
		}
		var entry struct {
			PID int
			Msg string
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		if entry.PID != 0 {
			pid = entry.PID
		}
		if strings.Contains(line, "package loaded") {
			if pid == 0 {
				t.Fatal("the executor has not told its pid")
			}
			return pid
		}
	}
}
