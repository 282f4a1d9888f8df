package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/spider-go/spider/pool"
)

// stop makes Ctrl-C and the like end the executor. It leads a process group of
// its own, so the terminal's signals do not reach it.
type stop struct {
	signals chan os.Signal
	result  chan syscall.Signal
}

// catchStop starts to catch signals. release must be called.
func catchStop() *stop {
	s := &stop{signals: make(chan os.Signal, 1), result: make(chan syscall.Signal, 1)}
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM} {
		// nohup, and a shell for its background jobs, have it ignored.
		if !signal.Ignored(sig) {
			signal.Notify(s.signals, sig)
		}
	}
	return s
}

// release gives the signals back their usual meaning.
func (s *stop) release() { signal.Stop(s.signals) }

// kills has a signal kill p.
func (s *stop) kills(p *pool.Process) {
	go func() {
		select {
		case caught := <-s.signals:
			// The next one is for spider itself, should it hang.
			s.release()
			sig, _ := caught.(syscall.Signal)
			p.Kill("spider was stopped by " + pool.Exit{Signal: sig}.String())
			s.result <- sig
		case <-p.Exited():
			s.result <- 0
		}
	}()
}

// caught waits for the end of the process, or for a signal, and returns the
// latter or 0. It is called once.
func (s *stop) caught() syscall.Signal { return <-s.result }
