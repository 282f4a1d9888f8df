package pool_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spider-go/spider/internal/protocol"
	"github.com/spider-go/spider/internal/tasktest"
	"github.com/spider-go/spider/pool"
)

// worthwhile is from how many bytes on payloads go through shared memory.
const worthwhile = 2 << 10

// an echoing executor is one of a kind.
type echoing struct {
	pkg, task string
	shares    bool
	inputs    func(size int) []byte
	configure func(*pool.ProcessConfig)
}

// raw is a payload sequence of no payloads, and any bytes behind it.
func raw(size int) []byte {
	b := pattern(size)
	copy(b, []byte{0, 0, 0, 0})
	return b
}

// byteSequence is a payload sequence of one byte vector, of this size in all.
func byteSequence(size int) []byte {
	b := pattern(size)
	for i := range b {
		b[i] &= 0x7f
	}
	binary.LittleEndian.PutUint32(b, 1)
	binary.LittleEndian.PutUint32(b[4:], uint32(size-8))
	switch n := size - 9; {
	case n < 16:
		b[8] = 0x90 | byte(n)
	case n-2 < 1<<16:
		b[8] = 0xdc
		binary.BigEndian.PutUint16(b[9:], uint16(n-2))
	default:
		b[8] = 0xdd
		binary.BigEndian.PutUint32(b[9:], uint32(n-4))
	}
	return b
}

func echoers(t *testing.T) map[string]echoing {
	t.Helper()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	used.Store("echo", true)
	return map[string]echoing{
		"a library": {"misbehave", "echo", true, raw, func(c *pool.ProcessConfig) {
			c.Executor, c.PackageDir, c.Env = built.Executor, built.Packages, nil
		}},
		"a Go library": {"gobehave", "echo_bytes", true, byteSequence, func(c *pool.ProcessConfig) {
			c.Executor, c.PackageDir, c.Env = built.Executor, built.Packages, nil
		}},
		"a program": {"gobehave", "echo_bytes", true, byteSequence, func(c *pool.ProcessConfig) {
			c.Executor, c.Package, c.PackageDir, c.Env = "", "gobehave", built.SelfHosted, nil
		}},
		"one that does not know it": {"p", "t", false, raw, func(*pool.ProcessConfig) {}},
	}
}

// Payloads of every size come back as they were, with whatever executor, and what is too
// large for it is told before.
func TestSharedSizes(t *testing.T) {
	t.Parallel()
	for name, kind := range echoers(t) {
		for _, maxPayload := range []int{0, 20 << 20, -1} {
			t.Run(fmt.Sprint(name, " ", maxPayload), func(t *testing.T) {
				t.Parallel()
				p := start(t, "echo", kind.configure, func(c *pool.ProcessConfig) { c.MaxPayload = maxPayload })
				shares := kind.shares && maxPayload >= 0
				limit := protocol.DefaultMaxFrame - protocol.ExecuteSize(len(kind.pkg), len(kind.task), len(tasktest.Context()), 0)
				if shares && maxPayload > 0 {
					limit = maxPayload
				}
				sizes := []int{16, worthwhile - 1, worthwhile, worthwhile + 1, 64<<10 - 1, 64 << 10, 64<<10 + 1,
					1 << 20, protocol.DefaultMaxFrame - 200, protocol.DefaultMaxFrame, protocol.DefaultMaxFrame + 1, 20 << 20, 20<<20 + 1, 100}
				if testing.Short() || kind.task == "echo_bytes" {
					// It is slow: byte vectors are integers, one by one.
					sizes = append(sizes[:8], 20<<20+1, limit, 100)
				}
				most := int64(0) // a slow machine gives it back in between
				for _, size := range sizes {
					inputs := kind.inputs(size)
					result, err := p.Execute(pool.Request{Package: kind.pkg, Task: kind.task, Context: tasktest.Context(), Inputs: inputs}, patience)
					var tooLarge *pool.TooLargeError
					switch {
					case size > limit:
						if !errors.As(err, &tooLarge) || tooLarge.Limit < limit-200 {
							t.Errorf("%d bytes: %v", size, err)
						}
					case err != nil || !bytes.Equal(result.Outputs, inputs):
						t.Errorf("%d bytes: %d came back, %v", size, len(result.Outputs), err)
					}
					most = max(most, p.SharedResident())
				}
				if p.SharedTaken() != shares || (most > 0) != shares {
					t.Errorf("taken: %t, at most %d bytes", p.SharedTaken(), most)
				}
				if exit := p.Shutdown(); exit.Code != 0 || exit.Signal != 0 {
					t.Error(exit)
				}
			})
		}
	}
}

// A first request that only fits the memory finds out whether the executor takes it.
func TestSharedFirstRequest(t *testing.T) {
	t.Parallel()
	for name, kind := range echoers(t) {
		if kind.task == "echo_bytes" {
			continue
		}
		p := start(t, "echo", kind.configure, func(c *pool.ProcessConfig) { c.MaxPayload = 20 << 20 })
		inputs := kind.inputs(12 << 20)
		result, err := p.Execute(pool.Request{Package: kind.pkg, Task: kind.task, Context: tasktest.Context(), Inputs: inputs}, patience)
		if kind.shares {
			if err != nil || !bytes.Equal(result.Outputs, inputs) {
				t.Errorf("%s: %d bytes, %v", name, len(result.Outputs), err)
			}
		} else if !errors.As(err, new(*pool.TooLargeError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Outputs may be much larger than inputs; what is too large is the task's error, and the
// process lives on.
func TestSharedOutputs(t *testing.T) {
	t.Parallel()
	kind := echoers(t)["a library"]
	p := start(t, "echo", kind.configure, func(c *pool.ProcessConfig) { c.MaxPayload = 20 << 20 })
	ask := func(n int) ([]byte, error) {
		result, err := p.Execute(pool.Request{Package: "misbehave", Task: "output_bytes", Context: tasktest.Context(),
			Inputs: tasktest.Inputs(uint64(n)), OutputBuffer: make([]byte, 0, 1000)}, patience)
		return result.Outputs, err
	}
	for _, n := range []int{100, 5000, 10 << 20, 20 << 20, 100, worthwhile} {
		if out, err := ask(n); err != nil || len(out) != n {
			t.Errorf("%d bytes: %d came, %v", n, len(out), err)
		}
	}
	var failed *pool.ExecutorError
	if _, err := ask(20<<20 + 1); !errors.As(err, &failed) || !strings.Contains(err.Error(), "20971521") && !strings.Contains(err.Error(), "20971520") {
		t.Errorf("%v", err)
	}
	if out, err := ask(10 << 20); err != nil || len(out) != 10<<20 {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}

// What the memory was used for is given back a second later: by the next call, and by the
// pool where none comes.
func TestSharedIsReleased(t *testing.T) {
	t.Parallel()
	kind := echoers(t)["a library"]
	p := start(t, "echo", kind.configure)
	echo := func(size int) {
		t.Helper()
		result, err := p.Execute(pool.Request{Package: kind.pkg, Task: kind.task, Context: tasktest.Context(), Inputs: raw(size)}, patience)
		if err != nil || !bytes.Equal(result.Outputs, raw(size)) {
			t.Fatalf("%d bytes, %v", len(result.Outputs), err)
		}
	}
	for range 5 {
		echo(4 << 20)
		if n := p.SharedResident(); n < 4<<20 {
			t.Errorf("%d bytes", n)
		}
		p.AgeShared(2 * time.Second)
		echo(10)
		if n := p.SharedResident(); n > 1<<20 {
			t.Errorf("%d bytes", n)
		}
		echo(100 << 10)
	}

	q := newPool(t, func(c *pool.Config) { c.Executors = 1 })
	for range 3 {
		if _, err := q.Execute(t.Context(), pool.Request{Package: kind.pkg, Task: kind.task, Inputs: raw(4 << 20)}); err != nil {
			t.Fatal(err)
		}
		q.Inspect(time.Now())
		if n := q.SharedResident(); n < 4<<20 {
			t.Errorf("%d bytes", n)
		}
		q.Inspect(time.Now().Add(2 * time.Second))
		if n := q.SharedResident(); n > 1<<20 {
			t.Errorf("%d bytes", n)
		}
	}
}

// Payloads are not what an executor has grown by.
func TestSharedIsNoGrowth(t *testing.T) {
	t.Parallel()
	kind := echoers(t)["a library"]
	pids := map[int]bool{}
	p := newPool(t, func(c *pool.Config) {
		c.Executors, c.Spares, c.MaxPayload, c.MaxGrowth = 1, -1, 64<<20, 90<<20
		c.Limits.Memory = 110 << 20
	})
	for range 4 {
		result, err := p.Execute(t.Context(), pool.Request{Package: kind.pkg, Task: kind.task, Inputs: raw(60 << 20)})
		if err != nil {
			t.Fatal(err)
		}
		pids[result.PID] = true
		// The task's result is memory of its own, until it has been freed.
		p.Inspect(time.Now())
	}
	if s := p.Stats(); len(pids) != 1 || s.Recycled[pool.RecycledGrowth] > 0 {
		t.Errorf("processes %v, %v", pids, s.Recycled)
	}
}

// Executors that are killed while payloads travel: each call gets its own, or a crash.
func TestSharedKilled(t *testing.T) {
	t.Parallel()
	kind := echoers(t)["a library"]
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	for i := range rounds {
		p, err := pool.StartProcess(configuration("echo", kind.configure))
		if err != nil {
			t.Fatal(err)
		}
		inputs := raw(1<<20 + i*100_003)
		request := pool.Request{Package: kind.pkg, Task: kind.task, Context: tasktest.Context(), Inputs: inputs}
		if _, err := p.Execute(request, patience); err != nil {
			t.Fatal(err)
		}
		spins := rand.IntN(200_000)
		go func() {
			for range spins {
				_ = rand.Int()
			}
			_ = syscall.Kill(p.PID(), syscall.SIGKILL)
		}()
		for {
			result, err := p.Execute(request, patience)
			var crash *pool.CrashError
			if errors.As(err, &crash) && crash.Exit.Signal == syscall.SIGKILL && crash.Exit.Killed == "" {
				break
			}
			if err != nil || !bytes.Equal(result.Outputs, inputs) {
				t.Fatalf("%d bytes, %v", len(result.Outputs), err)
			}
		}
		p.Close()
	}
}

// Who sends ahead has no use for one place for payloads.
func TestSharedIsWithdrawnBySend(t *testing.T) {
	t.Parallel()
	kind := echoers(t)["a library"]
	p := start(t, "echo", kind.configure)
	request := func(size int) *pool.Request {
		return &pool.Request{Package: kind.pkg, Task: kind.task, Context: tasktest.Context(), Inputs: raw(size)}
	}
	if _, err := p.Execute(*request(100 << 10), patience); err != nil || !p.SharedTaken() {
		t.Fatal(err)
	}
	if err := p.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	sizes := []int{5000, 6000, 7000, 100, 3000}
	for _, size := range sizes {
		if err := p.Send(request(size)); err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range sizes {
		if result, err := p.Receive(request(size)); err != nil || !bytes.Equal(result.Outputs, raw(size)) {
			t.Fatalf("%d bytes of %d, %v", len(result.Outputs), size, err)
		}
	}
	if result, err := p.Execute(*request(1 << 20), patience); err != nil || !bytes.Equal(result.Outputs, raw(1<<20)) {
		t.Errorf("%d bytes, %v", len(result.Outputs), err)
	}
	if p.SharedTaken() {
		t.Error("it is in use still")
	}
}

// An executor that claims to have written what it has not spoils its own results, and one
// that claims more than there is does not speak the protocol.
func TestSharedClaims(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		claims     int
		maxPayload int
		bad        bool
	}{
		{5000, 0, false},
		{8<<20 - protocol.ResponseSize(0), 0, false},
		{8<<20 - protocol.ResponseSize(0) + 1, 0, true},
		{8 << 20, 1 << 20, true},
		{1, -1, true},
	} {
		p := start(t, "claims shared memory", func(cfg *pool.ProcessConfig) { cfg.MaxPayload = c.maxPayload })
		result, err := p.Execute(pool.Request{Task: fmt.Sprint(c.claims)}, patience)
		var damage *pool.ProtocolError
		if c.bad {
			if !errors.As(err, &damage) {
				t.Errorf("%+v: %v", c, err)
			}
		} else if err != nil || !bytes.Equal(result.Outputs, make([]byte, c.claims)) {
			t.Errorf("%+v: %d bytes, %v", c, len(result.Outputs), err)
		}
	}
}

// An executor behind a script that stays is not the process that the offer was made to. It
// works all the same.
func TestSharedBehindAScript(t *testing.T) {
	t.Parallel()
	kind := echoers(t)["a library"]
	var cfg pool.ProcessConfig
	kind.configure(&cfg)
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"+cfg.Executor+"\nexit $?\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cfg.Executor = script
	p, err := pool.StartProcess(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, size := range []int{100, 5000, 4 << 20} {
		result, err := p.Execute(pool.Request{Package: kind.pkg, Task: kind.task, Context: tasktest.Context(), Inputs: raw(size)}, patience)
		if err != nil || !bytes.Equal(result.Outputs, raw(size)) {
			t.Errorf("%d bytes, %v", len(result.Outputs), err)
		}
	}
	if p.SharedTaken() {
		t.Error("the script is said to have taken it")
	}
}

// What this program itself has been offered it does not hand down.
func TestSharedIsNotHandedDown(t *testing.T) {
	t.Parallel()
	for _, maxPayload := range []int{0, -1} {
		p := start(t, asTold, func(cfg *pool.ProcessConfig) {
			cfg.Env = append(cfg.Env, "SPIDER_SHARED_MEMORY=77")
			cfg.MaxPayload = maxPayload
		})
		result, err := p.Execute(pool.Request{Task: "env"}, patience)
		if err != nil || strings.Contains(string(result.Outputs), "SPIDER_SHARED_MEMORY=77") {
			t.Errorf("MaxPayload %d: %v", maxPayload, err)
		}
	}
}
