package pool_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/spider-go/spider/internal/tasktest"
	"github.com/spider-go/spider/pool"
)

// BenchmarkCrashToAnswer is how long it takes from the death of a process in a call to
// the next answer of the same package: what the caller waits for. With a spare and with
// none, of packages that are libraries and of one that is a program. The spare has come to
// rest before.
func BenchmarkCrashToAnswer(b *testing.B) {
	built, err := tasktest.Build()
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name, executor, dir, pkg, crash, task string
		args                                  []any
	}{
		{"C", built.Executor, built.Packages, "misbehave", "segv", "getpid", nil},
		{"Go", built.Executor, built.Packages, "gorecover", "exit", "fine", []any{1}},
		{"program", built.Executor, built.SelfHosted, "gorecover", "exit", "fine", []any{1}},
	} {
		for _, spares := range []int{1, -1} {
			b.Run(fmt.Sprint(c.name, " spares ", max(0, spares)), func(b *testing.B) {
				p, err := pool.New(pool.Config{Executor: c.executor, PackageDir: c.dir, Executors: 1, Spares: spares, Timeout: time.Minute})
				if err != nil {
					b.Fatal(err)
				}
				defer p.Close(context.Background())
				ready := func() {
					for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
						idle := 0
						s := p.Stats()
						for _, e := range s.Executors {
							if e.State != "idle" {
								idle = -10
							}
							idle++
						}
						if s.Starting == 0 && idle >= max(0, spares)+1 {
							return
						}
					}
					b.Fatal("it does not come to rest")
				}
				good := pool.Request{Package: c.pkg, Task: c.task, Inputs: tasktest.Inputs(c.args...)}
				var all []time.Duration
				for b.Loop() {
					b.StopTimer()
					if _, err := p.Execute(context.Background(), good); err != nil {
						b.Fatal(err)
					}
					ready()
					args := []any{7}
					if c.crash == "segv" {
						args = nil
					}
					_, err := p.Execute(context.Background(), pool.Request{Package: c.pkg, Task: c.crash, Inputs: tasktest.Inputs(args...)})
					if !errors.As(err, new(*pool.CrashError)) {
						b.Fatal(err)
					}
					b.StartTimer()
					began := time.Now()
					if _, err := p.Execute(context.Background(), good); err != nil {
						b.Fatal(err)
					}
					all = append(all, time.Since(began))
				}
				slices.Sort(all)
				b.ReportMetric(float64(all[len(all)/2].Microseconds()), "us-median")
				b.ReportMetric(float64(all[len(all)*9/10].Microseconds()), "us-p90")
			})
		}
	}
}
