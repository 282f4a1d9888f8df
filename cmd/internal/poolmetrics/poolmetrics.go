// Package poolmetrics gives the figures of a pool their names for Prometheus and
// expvar. The commands that run a pool for long register it; package pool itself knows
// neither.
package poolmetrics

import (
	"expvar"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spider-go/spider/pool"
)

// Stater is a pool.
type Stater interface {
	Stats() pool.Stats
}

var (
	calls = prometheus.NewDesc("spider_pool_calls_total",
		"Calls that have ended, by outcome.", []string{"outcome"}, nil)
	running = prometheus.NewDesc("spider_pool_calls_running",
		"Calls that have an executor, or are getting one.", nil, nil)
	waiting = prometheus.NewDesc("spider_pool_calls_waiting",
		"Calls that wait for their turn.", nil, nil)
	executors = prometheus.NewDesc("spider_pool_executors",
		"Executor processes, by state.", []string{"state"}, nil)
	spawned = prometheus.NewDesc("spider_pool_executors_spawned_total",
		"Executors that have come up.", nil, nil)
	spawnFailures = prometheus.NewDesc("spider_pool_executor_spawn_failures_total",
		"Executors that have not come up.", nil, nil)
	recycled = prometheus.NewDesc("spider_pool_executors_recycled_total",
		"Executors that have been retired, by reason.", []string{"reason"}, nil)
	peakMemory = prometheus.NewDesc("spider_pool_executor_peak_resident_bytes",
		"The largest resident memory of any executor that lives.", nil, nil)
)

// Collector returns a pool's figures for a Prometheus registry.
func Collector(p Stater) prometheus.Collector { return collector{p} }

type collector struct{ pool Stater }

// Describe implements [prometheus.Collector].
func (collector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{calls, running, waiting, executors, spawned, spawnFailures, recycled, peakMemory} {
		descs <- d
	}
}

// Collect implements [prometheus.Collector].
func (c collector) Collect(metrics chan<- prometheus.Metric) {
	s := c.pool.Stats()
	counter := func(d *prometheus.Desc, n int64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, n int64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	for outcome, n := range outcomes(&s) {
		counter(calls, n, outcome)
	}
	gauge(running, int64(s.Running))
	gauge(waiting, int64(s.Waiting))
	states := map[string]int64{"idle": 0, "running": 0, "ending": 0, "starting": int64(s.Starting)}
	peak := int64(0)
	for _, e := range s.Executors {
		states[e.State]++
		peak = max(peak, e.PeakRSS)
	}
	for state, n := range states {
		gauge(executors, n, state)
	}
	counter(spawned, s.Spawned)
	counter(spawnFailures, s.SpawnFailures)
	for reason, n := range s.Recycled {
		counter(recycled, n, reason)
	}
	gauge(peakMemory, peak)
}

// outcomes are the counts of calls by what an alert would name them.
func outcomes(s *pool.Stats) map[string]int64 {
	return map[string]int64{
		"succeeded": s.Succeeded, "failed": s.Failed, "timed_out": s.TimedOut, "crashed": s.Crashed,
		"canceled": s.Canceled, "protocol_error": s.ProtocolErrors, "too_large": s.TooLarge, "not_started": s.NotStarted,
	}
}

// Publish makes a pool's [pool.Stats] an expvar of this name, which must be new.
func Publish(name string, p Stater) {
	expvar.Publish(name, expvar.Func(func() any { return p.Stats() }))
}
