package bench

import (
	"os"
	"strings"
	"testing"

	"github.com/spider-go/spider/internal/tasktest"
)

// TestPoolReport makes a short report on the real executor.
func TestPoolReport(t *testing.T) {
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	const calls = 20
	report, err := RunPool(t.Context(), Config{
		Executor: built.Executor, PackageDir: built.Packages, Calls: calls, Blocks: 2, WarmUp: 5,
	})
	if err != nil {
		t.Fatal(err)
	}
	ways := 3
	if report.NoFloor == "" {
		ways++
	}
	if len(report.Ways) != ways || len(report.Rates) != len(poolSizes) || len(report.Deaths) != 4 || len(report.Starts) != 1 {
		t.Fatalf("%+v", report)
	}
	for _, w := range append(append(report.Ways, report.Deaths...), report.Starts...) {
		checkStats(t, w.Name, w.Stats, calls)
	}
	for _, rate := range report.Rates {
		if rate.PerSecond <= 0 {
			t.Errorf("%+v", rate)
		}
	}
	path, err := report.Write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != report.Markdown() || !strings.Contains(string(text), "## Calls per second") {
		t.Errorf("%v: %s", err, text)
	}
}
