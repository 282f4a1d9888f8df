package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/spider-go/spider/internal/bench/workload"
	"github.com/spider-go/spider/internal/tasktest"
)

// TestReport makes a short report of all parts on the real executor, against itself.
func TestReport(t *testing.T) {
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	const tooLarge = 9 << 20 // for a frame
	report, err := Run(t.Context(), Config{
		Executor: built.Executor, PackageDir: built.Packages, Against: []string{built.Executor},
		Calls: calls, Blocks: 2, WarmUp: 10, Sizes: []int{100, judgedSize, tooLarge},
		TurnTime: 5 * time.Millisecond, Deaths: deaths, FlatCalls: 200,
	}, func(part string) { said = append(said, part) })
	if err != nil {
		t.Fatal(err)
	}
	if len(said) != len(Parts) {
		t.Errorf("progress on %q", said)
	}
	if report.NoFloor != "" {
		t.Fatal(report.NoFloor)
	}
	t.Run("calls", func(t *testing.T) { checkCalls(t, report) })
	t.Run("sizes", func(t *testing.T) { checkSizes(t, report) })
	t.Run("rates", func(t *testing.T) { checkRates(t, report) })
	t.Run("deaths", func(t *testing.T) { checkDeaths(t, report) })
	t.Run("starts", func(t *testing.T) { checkStarts(t, report) })
	t.Run("flat", func(t *testing.T) { checkFlat(t, report) })
	t.Run("verdicts", func(t *testing.T) { checkVerdicts(t, report) })

	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	path, err := report.Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	if path != filepath.Join(dir, ReportFile) {
		t.Errorf("written to %s", path)
	}
	t.Run("markdown", func(t *testing.T) { checkMarkdown(t, report, dir) })
	t.Run("json", func(t *testing.T) { checkJSON(t, report, dir) })
	t.Run("charts", func(t *testing.T) { checkCharts(t, report, dir) })
}

const (
	calls  = 30
	deaths = 3
)

func places(r *Report) int { return min(2, len(r.Host.CPUs)) }

func checkPlace(t *testing.T, p *Place) {
	t.Helper()
	if p.ParentCPUs != 1 {
		t.Errorf("%s: the parent saw %d CPUs: it was not pinned before it started", p.title(), p.ParentCPUs)
	}
}

func checkCalls(t *testing.T, report *Report) {
	if len(report.Calls.Placements) != places(report) {
		t.Fatalf("%d placements", len(report.Calls.Placements))
	}
	for _, p := range report.Calls.Placements {
		checkPlace(t, &p.Place)
		if len(p.Executors) != 2 || p.Executors[0].Name == p.Executors[1].Name {
			t.Fatalf("%s: executors %+v", p.title(), p.Executors)
		}
		for _, e := range p.Executors {
			checkStats(t, "E2E", e.EndToEnd, calls)
			checkStats(t, "executor time", e.Inside, calls)
			checkStats(t, "executor internal", e.Internal, calls)
			checkStats(t, "IPC", e.IPC, calls)
			checkStats(t, "overhead", e.Overhead, calls)
			checkStats(t, "no-op", e.NoOp, calls)
			checkCurve(t, "no-op", e.NoOpCurve, e.NoOp)
			checkCurve(t, "IPC", e.IPCCurve, e.IPC)
			if e.Inside.Min > e.EndToEnd.P99 || e.EndToEnd.Min < report.Calls.Sleep {
				t.Errorf("E2E %v and executor time %v do not go together", e.EndToEnd, e.Inside)
			}
			if e.Overhead != e.EndToEnd.Less(e.Sleep) {
				t.Errorf("overhead %v is not E2E %v less a sleep of %v", e.Overhead, e.EndToEnd, e.Sleep)
			}
		}
		checkStats(t, "echo", p.Floor.Echo, calls)
		checkStats(t, "echo + sleep", p.Floor.Sleeping, calls)
		checkStats(t, "slept", p.Floor.Slept, calls)
		checkStats(t, "echo + sleep, IPC", p.Floor.SleepingRest, calls)
		checkStats(t, "echo, no-op", p.Floor.NoOp, calls)
		checkCurve(t, "echo", p.Floor.EchoCurve, p.Floor.Echo)
		if p.Floor.Slept.Min < report.Calls.Sleep {
			t.Errorf("the echo's child slept %v, less than %v", p.Floor.Slept.Min, report.Calls.Sleep)
		}
	}
	if len(report.Calls.Ways) != 6 {
		t.Errorf("ways %+v", report.Calls.Ways)
	}
	for _, w := range report.Calls.Ways {
		checkStats(t, w.Name, w.Stats, calls)
	}
}

func checkCurve(t *testing.T, what string, c Curve, s Stats) {
	t.Helper()
	if len(c) == 0 || c[0].Share != 0 || c[0].Time < s.Min-s.Min/1000 {
		t.Fatalf("%s: the curve begins wrong: %v, %v", what, c, s)
	}
	for i := 1; i < len(c); i++ {
		if c[i].Share <= c[i-1].Share || c[i].Time < c[i-1].Time {
			t.Errorf("%s: the curve falls: %v", what, c)
		}
	}
	if last := c[len(c)-1].Share; last >= 1-10/float64(s.Count)+1e-9 {
		t.Errorf("%s: the curve reaches %v with %d calls", what, last, s.Count)
	}
}

func checkSizes(t *testing.T, report *Report) {
	if len(report.Sizes) != places(report) {
		t.Fatalf("%d placements", len(report.Sizes))
	}
	for _, p := range report.Sizes {
		checkPlace(t, &p.Place)
		if len(p.Sizes) != len(report.Config.Sizes) {
			t.Fatalf("%d sizes", len(p.Sizes))
		}
		for i, s := range p.Sizes {
			if s.Bytes != report.Config.Sizes[i] || len(s.Executors) != 2 || s.PipeCapacity < 4096 {
				t.Fatalf("size %d: %+v", i, s)
			}
			for _, e := range s.Executors {
				if e.NotCarried == "" {
					checkTransfer(t, s.Bytes, &e)
				} else if e.EndToEnd.Count != 0 || s.Bytes < 8<<20 {
					t.Errorf("%s: not carried: %s: %+v", sizeName(s.Bytes), e.NotCarried, e)
				}
			}
			checkTransfer(t, s.Bytes, s.PipeEcho)
			checkTransfer(t, s.Bytes, s.ShmEcho)
			if s.ShmEcho.Inside.Min <= 0 {
				t.Errorf("%s: the child copied in no time", sizeName(s.Bytes))
			}
		}
	}
}

func checkTransfer(t *testing.T, bytes int, x *Transfer) {
	t.Helper()
	what := sizeName(bytes) + ", " + x.Name
	if n := x.EndToEnd.Count; n < leastCalls || n > calls {
		t.Errorf("%s: %d calls", what, n)
	}
	checkStats(t, what, x.EndToEnd, x.EndToEnd.Count)
	checkStats(t, what, x.Inside, x.EndToEnd.Count)
	checkStats(t, what, x.Rest, x.EndToEnd.Count)
	if x.Inside.Min > x.EndToEnd.P99 || x.Rest.Min > x.EndToEnd.P99 {
		t.Errorf("%s: the parts are longer than the whole: %+v", what, x)
	}
}

func checkRates(t *testing.T, report *Report) {
	if len(report.Rates) != 3 {
		t.Fatalf("%+v", report.Rates)
	}
	for _, all := range report.Rates {
		if len(all.Rates) != len(poolSizes) {
			t.Fatalf("%+v", all)
		}
		for i, rate := range all.Rates {
			if rate.Executors != poolSizes[i] || rate.PerSecond <= 0 || rate.Count < int64(rate.Executors) {
				t.Errorf("%s: %+v", all.Name, rate)
			}
			checkStats(t, all.Name, rate.Stats, rate.Count)
		}
	}
}

func checkDeaths(t *testing.T, report *Report) {
	if len(report.Deaths) != 2 {
		t.Fatalf("%+v", report.Deaths)
	}
	for _, d := range report.Deaths {
		for _, s := range []Stats{d.Ordinary, d.Unrelated, d.Preloaded, d.Spare, d.WithoutOne} {
			checkStats(t, d.Name, s, deaths)
		}
	}
}

func checkStarts(t *testing.T, report *Report) {
	if len(report.Starts.Executors) != 2 {
		t.Fatalf("%+v", report.Starts)
	}
	all := []Stats{*report.Starts.BareC, *report.Starts.BareExecutor}
	for _, e := range report.Starts.Executors {
		all = append(all, e.CPackage, e.GoPackage, e.Pool)
	}
	for _, s := range all {
		checkStats(t, "start", s, deaths)
		if s.Min <= 0 {
			t.Errorf("started in no time: %+v", s)
		}
	}
}

func checkFlat(t *testing.T, report *Report) {
	f := report.Flat
	if f.Calls != 200 || len(f.Samples) != flatSamples+1 || f.Samples[0].After != 0 || f.Samples[flatSamples].After != f.Calls {
		t.Fatalf("%+v", f)
	}
	for _, u := range append(f.Samples, f.First, f.Last) {
		for _, p := range []ProcessUsage{u.Parent, u.Executor} {
			if p.Memory < 1<<20 || p.Descriptors < 3 || p.Threads < 1 {
				t.Errorf("after %d calls: %+v", u.After, u)
			}
		}
	}
}

// checkVerdicts compares them with the figures they are made of.
func checkVerdicts(t *testing.T, report *Report) {
	n := places(report)
	if want := 2*n + n + 1 + 6; len(report.Verdicts) != want {
		t.Errorf("%d verdicts, want %d: %+v", len(report.Verdicts), want, report.Verdicts)
	}
	for _, v := range report.Verdicts {
		if v.Outcome == NotMeasured || (v.Value <= v.Limit) != (v.Outcome == Met) || v.Figures == "" || v.Place == "" {
			t.Errorf("%+v", v)
		}
	}
	ours := report.Calls.Placements[0]
	want := float64(ours.Executors[0].Overhead.P50) / float64(ours.Floor.Echo.P50)
	if got := report.Verdicts[0].Value; got != want {
		t.Errorf("overhead over the echo: %v, want %v", got, want)
	}
	large := report.Sizes[0].Sizes[1]
	want = float64(large.Executors[0].EndToEnd.P50) / float64(large.ShmEcho.EndToEnd.P50)
	if got := report.Verdicts[2*n].Value; got != want {
		t.Errorf("4 MiB over the echo: %v, want %v", got, want)
	}
	want = float64(report.Deaths[0].Preloaded.P50) / float64(report.Deaths[0].Ordinary.P50)
	if got := report.Verdicts[3*n].Value; got != want {
		t.Errorf("death over an ordinary call: %v, want %v", got, want)
	}
}

// TestJudge checks that an aim that is missed is called so, and one that could not be
// measured is neither.
func TestJudge(t *testing.T) {
	us := func(n int) Stats { return Stats{P50: time.Duration(n) * time.Microsecond} }
	report := &Report{
		Config: Config{Only: []Part{PartCalls, PartDeaths, PartFlat}},
		Calls: &Calls{Placements: []Placement{{
			Executors: []ExecutorTimes{{Overhead: us(16), IPC: us(15)}}, Floor: &FloorTimes{Echo: us(10)},
		}}},
		Deaths: []Deaths{{Ordinary: us(10), Preloaded: us(31)}},
		Flat: &Flat{Calls: 1e6,
			First: Usage{Parent: ProcessUsage{100 << 20, 10, 5}, Executor: ProcessUsage{10 << 20, 10, 5}},
			Last:  Usage{Parent: ProcessUsage{105 << 20, 13, 5}, Executor: ProcessUsage{13 << 20, 10, 8}}},
	}
	report.judge()
	var got []Outcome
	for _, v := range report.Verdicts {
		got = append(got, v.Outcome)
	}
	want := []Outcome{Missed, Met, NotMeasured, Missed, Met, Missed, Met, Missed, Met, Missed}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q: %+v", got, want, report.Verdicts)
	}
	report.NoFloor = "there is none"
	report.judge()
	if v := report.Verdicts[0]; v.Outcome != NotMeasured || v.Figures != report.NoFloor {
		t.Errorf("without a floor: %+v", v)
	}
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

func checkMarkdown(t *testing.T, report *Report, dir string) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	n := places(report)
	e := 2 * n // executors in the tables
	for file, parts := range map[string]map[string]int{
		OverheadFile: {
			"\n## One core": 1, "\n## Two cores": 1,
			"| E2E | 30 |": 2*e + 3*n, "| executor time |": e, "| executor internal |": e, "| IPC overhead |": e + n,
			"### Ratios": n, "IPC overhead / C echo |": e, "/ C echo |": 3 * e,
			"- Sleep: nominal ": 1, "N = 30 of each kind in 2 blocks": 1,
		},
		ReportFile: {
			"| aim |": 1, "**met**": -1, "\n## Where and how\n": 1, "\n## Small calls\n": 1, "\n## Payloads\n": 1,
			"\n## Calls per second\n": 1, "\n## From a death to the next answer\n": 1, "\n## From a start to the first answer\n": 1,
			"\n## Over many calls\n": 1, "| 100 B | C echo, pipes |": n, "| 4 MiB | C echo, shared memory |": n,
			"spider-task-executor (2)": -1, "![": 4,
		},
	} {
		text := read(file)
		for part, times := range parts {
			if found := strings.Count(text, part); times < 0 && found == 0 || times >= 0 && found != times {
				t.Errorf("%s has %q %d times, want %d", file, part, found, times)
			}
		}
		if t.Failed() {
			t.Log(text)
		}
	}
	if read(ReportFile) != report.Markdown() {
		t.Error("what is written is not what is printed")
	}
}

// checkJSON reads the report back, and looks whether docs/PERFORMANCE.md names every
// field.
func checkJSON(t *testing.T, report *Report, dir string) {
	text, err := os.ReadFile(filepath.Join(dir, JSONFile))
	if err != nil {
		t.Fatal(err)
	}
	var read Report
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(report, &read, cmpopts.EquateApproxTime(0)); diff != "" {
		t.Errorf("it comes back different: %s", diff)
	}
	documentation, err := os.ReadFile(filepath.Join("..", "..", "docs", "PERFORMANCE.md"))
	if err != nil {
		t.Fatal(err)
	}
	var all any
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{}
	var look func(any)
	look = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, value := range v {
				if !strings.Contains(string(documentation), "`"+name+"`") && !strings.Contains(string(documentation), "`"+name+"[]`") {
					missing[name] = true
				}
				look(value)
			}
		case []any:
			for _, value := range v {
				look(value)
			}
		}
	}
	look(all)
	if len(missing) > 0 {
		t.Errorf("docs/PERFORMANCE.md does not name %v", slices.Sorted(maps.Keys(missing)))
	}
}

// checkCharts looks whether they are XML, and say what they show.
func checkCharts(t *testing.T, report *Report, dir string) {
	for file, want := range map[string][]string{
		chartNoOp:  {"How long a call takes", "one core", "time of a call", "spider-task-executor", "C echo, pipes", "50 %"},
		chartSeed:  {"100 strings", "one core", "spider-task-executor (2)", "C echo, pipes"},
		chartSizes: {"payload", "100 B", "1 MiB", "C echo, shared memory"},
		chartRates: {"Calls per second", "executors, with one caller each", "C echo, pipes"},
	} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		var words strings.Builder
		for d := xml.NewDecoder(bytes.NewReader(text)); ; {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if letters, ok := token.(xml.CharData); ok {
				words.Write(letters)
			}
		}
		for _, part := range want {
			if !strings.Contains(words.String(), part) {
				t.Errorf("%s does not say %q", file, part)
			}
		}
		if strings.Contains(words.String(), "two cores") != (places(report) == 2) && (file == chartNoOp || file == chartSizes) {
			t.Errorf("%s: wrong number of panels", file)
		}
		if !bytes.Contains(text, []byte("sans-serif")) {
			t.Errorf("%s is written in a font that not everybody has", file)
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
			report, err := Run(t.Context(), Config{Executor: self, PackageDir: t.TempDir(), Only: []Part{PartCalls}, Calls: 50, Blocks: 2, WarmUp: 10}, nil)
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
	packages := t.TempDir()
	// A pool looks whether there is a package.
	library := filepath.Join(packages, workload.Package, "lib"+workload.Package+".so")
	if err := errors.Join(os.Mkdir(filepath.Dir(library), 0o755), os.WriteFile(library, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	report, err := Run(t.Context(), Config{Executor: self, PackageDir: packages, Only: []Part{PartCalls}, Calls: 60, Blocks: 2, WarmUp: 10, CC: "no-such-compiler"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text := report.Markdown()
	if !strings.Contains(text, `no C compiler "no-such-compiler"`) || strings.Contains(text, "| C echo") || report.Verdicts[0].Outcome != NotMeasured {
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
	_, err = Run(ctx, Config{Executor: self, PackageDir: t.TempDir()}, nil)
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
		{"negative time", func(c *Config) { c.TurnTime = -1 }, "negative"},
		{"negative deaths", func(c *Config) { c.Deaths = -1 }, "negative"},
		{"too few to be flat", func(c *Config) { c.FlatCalls = 3 }, "at least 20"},
		{"unknown part", func(c *Config) { c.Only = []Part{"walls"} }, `no part "walls"`},
		{"payload too small", func(c *Config) { c.Sizes = []int{8} }, "8 bytes"},
		{"payload too large", func(c *Config) { c.Sizes = []int{1 << 31} }, "2147483648 bytes"},
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
			case err == nil && (got.Calls < 1 || got.Blocks < 1 || got.Blocks > got.Calls || got.WarmUp < 1 || len(got.Sizes) == 0 || len(got.Only) == 0 || got.TurnTime <= 0 || got.Deaths < 1 || got.FlatCalls < 1 || !filepath.IsAbs(got.Executor) || !filepath.IsAbs(got.PackageDir)):
				t.Errorf("defaults not filled in: %+v", got)
			}
		})
	}
}
