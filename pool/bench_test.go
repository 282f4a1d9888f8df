package pool_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spider-go/spider/internal/tasktest"
	"github.com/spider-go/spider/pool"
)

// Bench: what a pool costs beyond the bare handle, on a task that does nothing but
// answer its argument.
func BenchmarkExecute(b *testing.B) {
	built, err := tasktest.Build()
	if err != nil {
		b.Fatal(err)
	}
	request := pool.Request{Package: "misbehave", Task: "echo", Context: tasktest.Context(), Inputs: tasktest.Inputs("x")}
	b.Run("handle", func(b *testing.B) {
		p, err := pool.StartProcess(pool.ProcessConfig{Executor: built.Executor, PackageDir: built.Packages})
		if err != nil {
			b.Fatal(err)
		}
		defer p.Close()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := p.Execute(request, time.Minute); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, c := range []struct {
		name string
		ctx  context.Context
	}{{"pool", context.Background()}, {"pool, cancelable", b.Context()}} {
		b.Run(c.name, func(b *testing.B) {
			p, err := pool.New(pool.Config{Executor: built.Executor, PackageDir: built.Packages, Executors: 1, Timeout: time.Minute})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close(context.Background())
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Execute(c.ctx, request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkExecutors(b *testing.B) {
	built, err := tasktest.Build()
	if err != nil {
		b.Fatal(err)
	}
	request := pool.Request{Package: "misbehave", Task: "echo", Context: tasktest.Context(), Inputs: tasktest.Inputs("x")}
	for _, n := range []int{1, 2, 4, 8} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p, err := pool.New(pool.Config{Executor: built.Executor, PackageDir: built.Packages, Executors: n, Timeout: time.Minute})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close(context.Background())
			var left atomic.Int64
			left.Store(int64(b.N))
			var callers sync.WaitGroup
			b.ResetTimer()
			for range n {
				callers.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := p.Execute(context.Background(), request); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			callers.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}

// BenchmarkNeighbours is a round trip between two goroutines that have nothing to do with
// the pool, over a socket, while as many others as there are processors make calls.
func BenchmarkNeighbours(b *testing.B) {
	built, err := tasktest.Build()
	if err != nil {
		b.Fatal(err)
	}
	request := pool.Request{Package: "misbehave", Task: "echo", Context: tasktest.Context(), Inputs: tasktest.Inputs("x")}
	n := runtime.GOMAXPROCS(0)
	p, err := pool.New(pool.Config{Executor: built.Executor, PackageDir: built.Packages, Executors: n, Timeout: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close(context.Background())
	var callers sync.WaitGroup
	defer callers.Wait()
	var done atomic.Bool
	defer done.Store(true)
	for range n {
		callers.Go(func() {
			for !done.Load() {
				if _, err := p.Execute(context.Background(), request); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	callers.Go(func() {
		if c, err := listener.Accept(); err == nil {
			defer c.Close()
			_, _ = io.Copy(c, c)
		}
	})
	c, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	one := make([]byte, 1)
	for b.Loop() {
		if _, err := c.Write(one); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, one); err != nil {
			b.Fatal(err)
		}
	}
}
