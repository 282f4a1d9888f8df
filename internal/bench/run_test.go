package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spider-go/spider/internal/tasktest"
)

// TestReport makes a short report on the real executor, against itself.
func TestReport(t *testing.T) {
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	const calls = 50
	report, err := Run(t.Context(), Config{
		Executor: built.Executor, PackageDir: built.Packages, Against: []string{built.Executor},
		Calls: calls, Blocks: 2, WarmUp: 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := min(2, len(report.Host.CPUs))
	if len(report.Placements) != want {
		t.Fatalf("%d placements, want %d", len(report.Placements), want)
	}
	for _, p := range report.Placements {
		if p.ParentCPUs != 1 {
			t.Errorf("%s: the parent saw %d CPUs: it was not pinned before it started", p.title(), p.ParentCPUs)
		}
		if len(p.Executors) != 2 {
			t.Fatalf("%s: %d executors", p.title(), len(p.Executors))
		}
		for _, e := range p.Executors {
			checkStats(t, "E2E", e.EndToEnd, calls)
			checkStats(t, "executor time", e.Inside, calls)
			checkStats(t, "executor internal", e.Internal, calls)
			checkStats(t, "IPC", e.IPC, calls)
			checkStats(t, "no-op", e.NoOp, calls)
			if e.Inside.Min > e.EndToEnd.P99 || e.EndToEnd.Min < report.Sleep {
				t.Errorf("E2E %v and executor time %v do not go together", e.EndToEnd, e.Inside)
			}
		}
		if p.Floor == nil {
			if report.NoFloor == "" {
				t.Error("no floor, and no reason why")
			}
			continue
		}
		checkStats(t, "echo", p.Floor.Echo, calls)
		checkStats(t, "echo + sleep", p.Floor.Sleeping, calls)
		checkStats(t, "slept", p.Floor.Slept, calls)
		checkStats(t, "echo + sleep, IPC", p.Floor.SleepingRest, calls)
		checkStats(t, "echo, no-op", p.Floor.NoOp, calls)
		if p.Floor.Slept.Min < report.Sleep {
			t.Errorf("the echo's child slept %v, less than %v", p.Floor.Slept.Min, report.Sleep)
		}
	}
	checkMarkdown(t, report)
}

func checkStats(t *testing.T, what string, s Stats, calls int64) {
	t.Helper()
	if s.Count != calls {
		t.Errorf("%s: %d calls, want %d", what, s.Count, calls)
	}
	if s.Min > s.P50 || s.P50 > s.P95 || s.P95 > s.P99 || s.Avg < s.Min {
		t.Errorf("%s: out of order: %v", what, s)
	}
}

func checkMarkdown(t *testing.T, report *Report) {
	path, err := report.Write(filepath.Join(t.TempDir(), "not", "there", "yet"))
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(path) != FileName {
		t.Errorf("written to %s", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	places := len(report.Placements)
	for part, times := range map[string]int{
		"## One core":       1,
		"## Two cores":      1,
		"| E2E | 50 |":      places * 7,
		"| executor time |": places * 2, "| executor internal |": places * 2, "| IPC overhead |": places * 3,
		"### Ratios": places, "/ C echo |": places * 4,
		"spider-task-executor (2)": 0,
		"- Sleep: nominal ":        1, "N = 50 of each kind in 2 blocks": 1,
	} {
		if report.NoFloor != "" && strings.Contains(part, "echo") {
			continue
		}
		n := strings.Count(string(text), part)
		if times == 0 && n == 0 || times > 0 && n != times && report.NoFloor == "" {
			t.Errorf("%q stands %d times in the report, want %d:\n%s", part, n, times, text)
		}
	}
}

// TestUntrustworthy checks that no report comes out of a run in which something
// went wrong.
func TestUntrustworthy(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ how, want string }{
		{"wrong", "wrong answer from "},
		{"failure", "no more"},
		{"dead", "exit status 7"},
		{"damage", "protocol"},
	} {
		t.Run(tc.how, func(t *testing.T) {
			t.Setenv(envImpostor, tc.how)
			report, err := Run(t.Context(), Config{Executor: self, PackageDir: t.TempDir(), Calls: 50, Blocks: 2, WarmUp: 10})
			if err == nil {
				t.Fatalf("no error, but a report:\n%s", report.Markdown())
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the error does not say %q: %v", tc.want, err)
			}
		})
	}
}

// TestHonestImpostor checks that TestUntrustworthy fails for the right reason,
// and that a report without a C compiler says so.
func TestHonestImpostor(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(envImpostor, "honest")
	report, err := Run(t.Context(), Config{Executor: self, PackageDir: t.TempDir(), Calls: 60, Blocks: 2, WarmUp: 10, CC: "no-such-compiler"})
	if err != nil {
		t.Fatal(err)
	}
	text := report.Markdown()
	if !strings.Contains(text, `no C compiler "no-such-compiler"`) || strings.Contains(text, "| C echo") {
		t.Errorf("the missing floor is not explained:\n%s", text)
	}
}

func TestCancelled(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(envImpostor, "honest")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Run(ctx, Config{Executor: self, PackageDir: t.TempDir()})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestConfig(t *testing.T) {
	good := Config{Executor: "sh", PackageDir: "."}
	for _, tc := range []struct {
		name   string
		change func(*Config)
		want   string // in the error; "" for none
	}{
		{"defaults", func(*Config) {}, ""},
		{"few calls", func(c *Config) { c.Calls = 3 }, ""},
		{"no executor", func(c *Config) { c.Executor = "" }, "no executor"},
		{"unknown executor", func(c *Config) { c.Executor = "no-such-executor" }, "no-such-executor"},
		{"unknown against", func(c *Config) { c.Against = []string{"no-such-executor"} }, "no-such-executor"},
		{"no packages", func(c *Config) { c.PackageDir = "" }, "no package directory"},
		{"negative", func(c *Config) { c.Calls = -1 }, "negative"},
		{"more blocks than calls", func(c *Config) { c.Calls, c.Blocks = 2, 3 }, "3 blocks for 2 calls"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := good
			tc.change(&cfg)
			got, err := cfg.validate()
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want an error with %q", err, tc.want)
			case err == nil && (got.Calls < 1 || got.Blocks < 1 || got.Blocks > got.Calls || got.WarmUp < 1 || !filepath.IsAbs(got.Executor) || !filepath.IsAbs(got.PackageDir)):
				t.Errorf("defaults not filled in: %+v", got)
			}
		})
	}
}
