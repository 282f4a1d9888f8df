// Compare says whether calls have become slower between two revisions: what
// `make bench-compare OLD=v1.2` runs before a change to the hot path.
//
//	bench-compare -old main            the working tree against main
//	bench-compare -old v1.2 -new v1.3
//
// Both are built, each with its own package pool, executor and SDK, and measured by
// the same worker in alternating blocks on the same cores, for many rounds that each
// begin with new processes. The exit status is 1 if a kind of call has become slower
// beyond noise, 2 if that could not be measured, else 0.
//
// docs/PERFORMANCE.md says how it judges. It changes nothing in the tree or in git.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

// The exit statuses.
const (
	statusFine       = 0
	statusSlower     = 1
	statusUnmeasured = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(command(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("bench-compare", flag.ContinueOnError)
	flags.SetOutput(stderr)
	old := flags.String("old", "", "the revision to compare with: anything git knows; required")
	new := flags.String("new", "", "the revision to judge; the working tree if not given")
	rounds := flags.Int("rounds", 20, "how often both are started anew and measured; at least 12")
	block := flags.Duration("block", 10*time.Millisecond, "about how long one of them is measured before it is the other's turn")
	quantile := flags.Float64("quantile", 0.1, "of the calls of a round, the fastest share that is judged by its slowest: what others do on the machine only makes calls slower; 0.5 is the median")
	percent := flags.Float64("threshold", 5, "by how many percent slower is a regression")
	if err := flags.Parse(args); err != nil {
		return statusUnmeasured
	}
	fail := func(err error) int {
		fmt.Fprintln(stderr, "bench-compare: not measured:", err)
		return statusUnmeasured
	}
	switch {
	case flags.NArg() > 0 || *old == "":
		return fail(errors.New("say what to compare with, as in: make bench-compare OLD=main"))
	case *rounds < leastRounds:
		return fail(fmt.Errorf("-rounds %d: fewer than %d rounds show nothing", *rounds, leastRounds))
	case *percent <= 0 || *block <= 0:
		return fail(errors.New("-threshold and -block must be more than 0"))
	case *quantile < 0 || *quantile >= 1:
		return fail(fmt.Errorf("-quantile %v: from 0 to below 1", *quantile))
	}
	root, err := moduleRoot()
	if err != nil {
		return fail(err)
	}
	dir, err := os.MkdirTemp("", "spider-compare-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	b := &builder{root: root, dir: dir}
	fmt.Fprintln(stderr, "building both")
	before, err := b.build(ctx, "old", *old)
	if err != nil {
		return fail(err)
	}
	after, err := b.build(ctx, "new", *new)
	if err != nil {
		return fail(err)
	}
	return report(ctx, before, after, &settings{
		rounds: *rounds, block: *block, warmUp: 25 * time.Millisecond, quantile: *quantile, threshold: *percent / 100, alpha: 0.01,
	}, stdout, stderr)
}

// leastRounds are enough for a confidence interval of as many kinds as there are.
const leastRounds = 12

// report compares two sides and prints the table.
func report(ctx context.Context, old, new *side, s *settings, stdout, stderr io.Writer) int {
	rows, err := compare(ctx, old, new, s, stderr)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		fmt.Fprintln(stderr, "bench-compare: not measured:", err)
		return statusUnmeasured
	}
	printTable(stdout, old, new, s, rows)
	if slices.ContainsFunc(rows, func(r *row) bool { return r.verdict == slower }) {
		return statusSlower
	}
	return statusFine
}

func printTable(w io.Writer, old, new *side, s *settings, rows []*row) {
	fmt.Fprintf(w, "%s\n%s\n\n", old.name, new.name)
	fmt.Fprintf(w, "| %-26s | %-9s | %10s | %10s | %7s | %-15s | %-17s |\n", "call", "where", "old, us", "new, us", "new/old", "between", "")
	fmt.Fprintln(w, "|----------------------------|-----------|-----------:|-----------:|--------:|-----------------|-------------------|")
	for _, r := range rows {
		between := fmt.Sprintf("%.3f and %.3f", r.low, r.high)
		fmt.Fprintf(w, "| %-26s | %-9s | %10s | %10s | %7.3f | %-15s | %-17s |\n", r.kind, r.place, micros(r.old), micros(r.new), r.ratio, between, r.verdict)
	}
	fmt.Fprintf(w, "\nMedians of %d rounds; of a round, the time that %.0f %% of the calls were faster than. %s: the ratio\n"+
		"is above %.2f, and above 1 with a confidence that makes at most one false alarm in %.0f comparisons\n"+
		"of equals, all rows together.\n", s.rounds, 100*s.quantile, slower, 1+s.threshold, 1/s.alpha)
}

func micros(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Microsecond)) }
