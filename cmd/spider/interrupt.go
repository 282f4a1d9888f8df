package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spider-go/spider/pool"
)

// interruptError says that a command was told to end before it was done.
type interruptError struct{ signal syscall.Signal }

func (e *interruptError) Error() string { return "stopped by " + pool.Exit{Signal: e.signal}.String() }

// interruptible returns a context that ends on Ctrl-C and the like, with an
// *interruptError as its cause. stop gives the signals back their usual meaning, as does
// the first one.
func interruptible() (ctx context.Context, stop func()) {
	signals := make(chan os.Signal, 1)
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM} {
		if !signal.Ignored(sig) {
			signal.Notify(signals, sig)
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		select {
		case caught := <-signals:
			signal.Stop(signals)
			sig, _ := caught.(syscall.Signal)
			cancel(&interruptError{sig})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(context.Canceled)
	}
}

// causeOf is why ctx has ended where err only says that it has.
func causeOf(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
