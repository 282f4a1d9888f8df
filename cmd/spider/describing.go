package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spider-go/spider/internal/catalog"
	"github.com/spider-go/spider/internal/typecheck"
	"github.com/spider-go/spider/internal/wire"
	"github.com/spider-go/spider/pool"
	"github.com/spider-go/spider/tdl"
)

// describePatience is how long spider run waits for a package to describe itself
// before it runs the task unchecked.
const describePatience = 2 * time.Second

// describing is what a package says of itself: remembered, or asked in a process of
// its own, meanwhile.
type describing struct {
	from catalog.Source
	name string

	cancel context.CancelFunc
	done   chan struct{} // closed when description is set

	// description is nil if there is none, whatever the reason: what is wrong with a
	// package the executor tells better.
	description *tdl.Description
	remembered  bool
}

// undescribed is a package that is not asked.
func undescribed() *describing {
	d := &describing{done: make(chan struct{}), cancel: func() {}}
	close(d.done)
	return d
}

// describe starts it, if it is not remembered. stop must be called.
func describe(from catalog.Source, name string) *describing {
	d := undescribed()
	d.from, d.name = from, name
	earlier, ok := recall(from, name)
	if ok {
		d.description, d.remembered = earlier.Description, true
		return d
	}
	d.ask(earlier)
	return d
}

// ask starts it anew.
func (d *describing) ask(m memory) {
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel, d.done, d.remembered = cancel, make(chan struct{}), false
	go func() {
		defer close(d.done)
		var err error
		d.description, err = catalog.Describe(ctx, d.from, d.name)
		m.keep(d.description, err, time.Now())
	}()
}

// stop ends what still runs of it.
func (d *describing) stop() {
	d.cancel()
	<-d.done
}

// check waits for the description, and checks a payload sequence against it. What is
// only remembered refuses nothing.
func (d *describing) check(task string, inputs []byte) error {
	values, err := wire.Split(nil, inputs)
	if err != nil {
		return err
	}
	<-d.done
	err = typecheck.New(d.description).Check(task, values)
	if err != nil && d.remembered {
		earlier, _ := recall(d.from, d.name)
		d.ask(earlier)
		<-d.done
		err = typecheck.New(d.description).Check(task, values)
	}
	return err
}

// hintError is an error with a hint at what may have been meant.
type hintError struct {
	err  error
	text string
}

func (e *hintError) Error() string { return e.text }
func (e *hintError) Unwrap() error { return e.err }

// fewTasks is up to how many tasks are named where one was not found.
const fewTasks = 12

// hint makes more of an error about a name that does not exist.
func (c *runCommand) hint(err error, packageDir string, d *describing) error {
	var answered *pool.ExecutorError
	if !errors.As(err, &answered) {
		return err
	}
	switch {
	case answered.Kind == pool.TaskError && answered.Err != nil && answered.Err.Kind == tdl.TaskNotFound:
		<-d.done
		if d.description == nil {
			return err
		}
		var names []string
		for _, task := range d.description.Tasks {
			names = append(names, task.Name)
		}
		text := fmt.Sprintf("no task %s in package %s", c.Task, c.Package)
		if guess := catalog.Closest(c.Task, names); guess != "" {
			text += "; did you mean " + guess + "?"
		} else if 0 < len(names) && len(names) <= fewTasks {
			text += "; it has " + strings.Join(names, ", ")
		} else {
			text += "; see spider inspect " + c.Package
		}
		return &hintError{err, text}
	case answered.Kind == pool.InvalidLibrary:
		entry := catalog.Look(packageDir, c.Package)
		if entry.Usable() {
			return err
		}
		var names []string
		entries, unreadable := catalog.List(packageDir)
		if unreadable != nil {
			return &hintError{err, fmt.Sprintf("%v; the package directory itself cannot be read: %v", err, unreadable)}
		}
		for _, other := range entries {
			if other.Usable() {
				names = append(names, other.Name)
			}
		}
		if guess := catalog.Closest(c.Package, names); guess != "" {
			return &hintError{err, fmt.Sprintf("%v; did you mean %s?", err, guess)}
		}
	}
	return err
}
