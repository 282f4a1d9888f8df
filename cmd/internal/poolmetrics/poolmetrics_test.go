package poolmetrics

import (
	"encoding/json"
	"expvar"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/spider-go/spider/pool"
)

type fixed pool.Stats

func (f fixed) Stats() pool.Stats { return pool.Stats(f) }

// Every figure has its own name, and each count of calls its own value.
func TestCollector(t *testing.T) {
	t.Parallel()
	var s fixed
	s.Counts = pool.Counts{Succeeded: 1, Failed: 2, TimedOut: 3, Crashed: 4, Canceled: 5, ProtocolErrors: 6, TooLarge: 7, NotStarted: 8,
		Spawned: 9, SpawnFailures: 10, Recycled: map[string]int64{pool.RecycledAge: 11}}
	s.Running, s.Waiting, s.Starting = 12, 13, 14
	s.Executors = []pool.ExecutorStats{{State: "idle", PeakRSS: 100}, {State: "running", PeakRSS: 300}, {State: "running", PeakRSS: 200}}

	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(Collector(s)); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.Metric {
			name := family.GetName()
			for _, label := range m.Label {
				name += fmt.Sprintf("{%s=%q}", label.GetName(), label.GetValue())
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	want := map[string]float64{
		`spider_pool_calls_total{outcome="succeeded"}`:       1,
		`spider_pool_calls_total{outcome="failed"}`:          2,
		`spider_pool_calls_total{outcome="timed_out"}`:       3,
		`spider_pool_calls_total{outcome="crashed"}`:         4,
		`spider_pool_calls_total{outcome="canceled"}`:        5,
		`spider_pool_calls_total{outcome="protocol_error"}`:  6,
		`spider_pool_calls_total{outcome="too_large"}`:       7,
		`spider_pool_calls_total{outcome="not_started"}`:     8,
		`spider_pool_executors_spawned_total`:                9,
		`spider_pool_executor_spawn_failures_total`:          10,
		`spider_pool_executors_recycled_total{reason="age"}`: 11,
		`spider_pool_calls_running`:                          12,
		`spider_pool_calls_waiting`:                          13,
		`spider_pool_executors{state="starting"}`:            14,
		`spider_pool_executors{state="idle"}`:                1,
		`spider_pool_executors{state="running"}`:             2,
		`spider_pool_executors{state="ending"}`:              0,
		`spider_pool_executor_peak_resident_bytes`:           300,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPublish(t *testing.T) {
	t.Parallel()
	var s fixed
	s.Succeeded = 5
	Publish("test_pool", s)
	var got pool.Stats
	if err := json.Unmarshal([]byte(expvar.Get("test_pool").String()), &got); err != nil || got.Succeeded != 5 {
		t.Errorf("%+v, %v", got, err)
	}
}
