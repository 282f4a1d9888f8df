package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spider-go/spider/internal/tasktest"
)

// envWorker makes the test binary a worker that makes no calls but up what they took.
// It says how: a factor, or what is wrong with it.
const envWorker = "SPIDER_COMPARE_TEST_WORKER"

func TestMain(m *testing.M) {
	if how := os.Getenv(envWorker); how != "" {
		os.Exit(pretend(how))
	}
	os.Exit(m.Run())
}

func pretend(how string) int {
	in := bufio.NewReader(os.Stdin)
	// Which of the two it is decides on its noise, with the process as the seed.
	random := rand.New(rand.NewPCG(uint64(os.Getpid()), 1))
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return 0
		}
		var o struct {
			Run *struct{ Calls int }
		}
		if err != nil || json.Unmarshal(line, &o) != nil {
			return 1
		}
		answer := map[string]any{"protocol": protocol}
		switch {
		case how == "protocol":
			answer["protocol"] = 99
		case o.Run == nil:
		case how == "dies":
			fmt.Fprintln(os.Stderr, "something broke")
			return 3
		case how == "wrong":
			answer["error"] = "wrong answer from echo"
		case how == "few":
			answer["times_ns"] = []int{1}
		default:
			var factor float64
			fmt.Sscan(how, &factor)
			answer["times_ns"] = noise(random, factor, o.Run.Calls)
		}
		text, _ := json.Marshal(answer)
		fmt.Printf("%s\n", text)
	}
}

// noise is what calls of 10 us take on a machine that others use too: mostly a little
// longer, now and then much.
func noise(random *rand.Rand, factor float64, n int) []time.Duration {
	times := make([]time.Duration, n)
	busy := random.Float64() < 0.05
	for i := range times {
		t := 10_000 * factor * (1 + 0.1*random.ExpFloat64())
		if busy || random.Float64() < 0.05 {
			t *= 1 + 3*random.ExpFloat64()
		}
		times[i] = time.Duration(t)
	}
	return times
}

// pretender is a side whose worker pretends.
func pretender(t *testing.T, how string) *side {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "worker")
	text := fmt.Sprintf("#!/bin/sh\n# Under -race, every process would otherwise end with a second's sleep.\nGORACE=atexit_sleep_ms=0 %s='%s' exec '%s'\n", envWorker, how, self)
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return &side{name: how, worker: script, executor: "none", packageDir: "none"}
}

func quick() *settings {
	return &settings{rounds: leastRounds, block: time.Millisecond, quantile: 0.1, threshold: 0.05, alpha: 0.01}
}

func TestReport(t *testing.T) {
	for _, tc := range []struct {
		name, old, new string
		status         int
		want           string // on stdout, or on stderr if it cannot be measured
	}{
		{"equals", "1", "1", statusFine, string(same)},
		{"a fifth slower", "1", "1.2", statusSlower, string(slower)},
		{"a fifth faster", "1.2", "1", statusFine, string(faster)},
		{"dies", "1", "dies", statusUnmeasured, "something broke"},
		{"wrong answers", "1", "wrong", statusUnmeasured, "wrong answer from echo"},
		{"too few calls", "few", "1", statusUnmeasured, "made 1 calls, not"},
		{"another protocol", "protocol", "1", statusUnmeasured, "speaks protocol 99, not 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr strings.Builder
			status := report(t.Context(), pretender(t, tc.old), pretender(t, tc.new), quick(), &stdout, &stderr)
			said := stdout.String()
			if tc.status == statusUnmeasured {
				said = stderr.String()
			}
			if status != tc.status || !strings.Contains(said, tc.want) {
				t.Errorf("status %d, want %d and %q:\n%s%s", status, tc.status, tc.want, &stdout, &stderr)
			}
		})
	}
}

// TestFalseAlarms compares equals and a fifth slower, in rounds as noisy as above, often
// enough to see that the first is hardly ever an alarm and the second nearly always.
func TestFalseAlarms(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const comparisons, rows, rounds, callsPerRound = 50, 10, 20, 50
	s := &settings{threshold: 0.05, alpha: 0.01}
	judge := func(factor float64) verdict {
		r := &row{}
		for range rounds {
			old, new := quantile(noise(random, 1, callsPerRound), 0.1), quantile(noise(random, factor, callsPerRound), 0.1)
			r.ratios = append(r.ratios, float64(new)/float64(old))
		}
		r.judge(s, rows)
		return r.verdict
	}
	alarms := 0
	for range comparisons * rows {
		if judge(1) == slower {
			alarms++
		}
	}
	if alarms > 1 {
		t.Errorf("%d false alarms in %d comparisons", alarms, comparisons)
	}
	missed := 0
	for range comparisons {
		switch v := judge(1.2); v {
		case slower:
		case unclear:
			missed++
		default:
			t.Errorf("a fifth slower is: %s", v)
		}
	}
	if missed > 1 {
		t.Errorf("a fifth slower was missed %d times in %d", missed, comparisons)
	}
}

func TestCriticalRank(t *testing.T) {
	// From the tables of Wilcoxon's signed-rank test, two-sided.
	for _, tc := range []struct {
		n     int
		alpha float64
		want  int
	}{
		{5, 0.05, -1}, {6, 0.05, 0}, {8, 0.05, 3}, {10, 0.05, 8}, {20, 0.05, 52}, {25, 0.05, 89},
		{8, 0.01, 0}, {12, 0.01, 7}, {20, 0.01, 37}, {12, 0.001, 1}, {20, 0.001, 21},
	} {
		if got := criticalRank(tc.n, tc.alpha); got != tc.want {
			t.Errorf("n = %d, alpha = %v: %d, want %d", tc.n, tc.alpha, got, tc.want)
		}
	}
}

func TestEstimate(t *testing.T) {
	close := func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
	ratio, low, high := estimate([]float64{2, 2, 2, 2, 2, 2, 2, 2}, 0.05)
	if !close(ratio, 2) || !close(low, 2) || !close(high, 2) {
		t.Errorf("all the same: %v between %v and %v", ratio, low, high)
	}
	ratio, low, high = estimate([]float64{1.1, 0.9}, 0.05)
	if ratio < 0.9 || ratio > 1.1 || low != 0 || !math.IsInf(high, 1) {
		t.Errorf("two: %v between %v and %v", ratio, low, high)
	}
	// One round in which the machine stood still does not matter.
	ratio, low, high = estimate([]float64{1, 1.01, 0.99, 1, 1.02, 0.98, 1, 1.01, 0.99, 1, 1.01, 0.99, 1, 1.02, 0.98, 50}, 0.05)
	if math.Abs(ratio-1) > 0.02 || low < 0.9 || high > 1.1 {
		t.Errorf("an outlier: %v between %v and %v", ratio, low, high)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{}, {"-old", "x", "y"}, {"-old", "x", "-rounds", "3"}, {"-old", "x", "-threshold", "0"},
		{"-old", "x", "-quantile", "1"}, {"-old", "x", "-block", "0s"}, {"-nonsense"}, {"-old", "no-such-revision-anywhere"},
	} {
		var stdout, stderr strings.Builder
		if status := command(t.Context(), args, &stdout, &stderr); status != statusUnmeasured || stderr.Len() == 0 || stdout.Len() > 0 {
			t.Errorf("%q: status %d\n%s%s", args, status, &stdout, &stderr)
		}
	}
}

// TestWorker has the real worker make real calls of a real executor, one short round.
func TestWorker(t *testing.T) {
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	b := &builder{root: root, dir: t.TempDir()}
	program := filepath.Join(b.dir, "worker")
	if err := b.buildWorker(t.Context(), root, program); err != nil {
		t.Fatal(err)
	}
	both := &side{name: "both", worker: program, executor: built.Executor, packageDir: built.Packages}
	s := quick()
	s.rounds = 1
	rows, err := compare(t.Context(), both, both, s, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	cpus, err := usableCPUs()
	if err != nil {
		t.Fatal(err)
	}
	want := 6
	if len(cpus) > 1 {
		want += 4
	}
	if len(rows) != want {
		t.Fatalf("%d rows, want %d", len(rows), want)
	}
	for _, r := range rows {
		if r.old <= 0 || r.new <= 0 || len(r.ratios) != 1 || r.verdict != unclear {
			t.Errorf("%+v", r)
		}
	}

	wrong := *both
	wrong.packageDir = b.dir
	if _, err := compare(t.Context(), both, &wrong, s, io.Discard); err == nil || !strings.Contains(err.Error(), "libintegration_test_tasks.so") {
		t.Errorf("without packages: %v", err)
	}
}

// TestBuild makes revisions of a tiny module: one that the worker fits, one that it
// does not and that has none of its own, one that has.
func TestBuild(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("no git here")
	}
	root := t.TempDir()
	do := func(name string, args ...string) {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = root
		cmd.Env = append(cmd.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
		}
	}
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	commit := func(tag string) {
		t.Helper()
		do("git", "add", "-A")
		do("git", "commit", "-q", "-m", tag)
		do("git", "tag", tag)
	}
	do("git", "init", "-q")
	write("go.mod", "module example.com/m\n\ngo 1.26\n")
	write("pool/pool.go", "package pool\n\nfunc Old() {}\n")
	commit("without")
	write(workerDir+"/main.go", "package main\n\nimport \"example.com/m/pool\"\n\nfunc main() { pool.Old() }\n")
	commit("with-its-own")
	write("pool/pool.go", "package pool\n\nfunc New() {}\n")
	write(workerDir+"/main.go", "package main\n\nimport \"example.com/m/pool\"\n\nfunc main() { pool.New() }\n")
	commit("fits")

	for _, tc := range []struct{ revision, fails string }{
		{"fits", ""},
		{"with-its-own", ""},
		{"without", "too different to be measured"},
	} {
		b := &builder{root: root, dir: t.TempDir()}
		tree := filepath.Join(b.dir, "tree")
		if err := b.export(t.Context(), tc.revision, tree); err != nil {
			t.Fatal(err)
		}
		program := filepath.Join(b.dir, "worker")
		err := b.buildWorker(t.Context(), tree, program)
		switch {
		case tc.fails == "" && err != nil:
			t.Errorf("%s: %v", tc.revision, err)
		case tc.fails != "" && (err == nil || !strings.Contains(err.Error(), tc.fails)):
			t.Errorf("%s: %v, want %q", tc.revision, err, tc.fails)
		case tc.fails == "":
			do(program)
		}
	}
}
