package tdl

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/spider-go/spider/internal/msgpack"
	"github.com/spider-go/spider/internal/wire"
	"github.com/spider-go/spider/tdl/internal/registered"
)

// Package is what [Register] takes.
type Package struct {
	// Name must be the name of the package's directory. Required; not "." or
	// "..", without '/' or NUL bytes.
	Name string

	// Init, if set, runs once when an executor loads the package. An error
	// makes the load, and with it the request, fail; the next request tries
	// again.
	Init func() error

	// Tasks are the tasks, made with [Func]. Their names must differ.
	Tasks []Task
}

// Task is one task of a package, made with [Func].
type Task struct {
	name string
	fn   any
}

// Func makes a task of a function of the form
//
//	func([tdl.TaskContext,] A, B, ...) (R, S, ..., error)
//
// with any number of parameters and results whose types have a form on the wire:
// integers, floats, bool, string, slices (also []byte), arrays, maps, structs,
// pointers (an option) and types made of these. What is wrong with fn is told by
// [Register].
func Func(name string, fn any) Task { return Task{name: name, fn: fn} }

// Register declares the package that this library is. It is called once, from an
// init function of the main package. Whatever is wrong with the registration is
// not a panic, but the error that every executor gets when it loads the package.
func Register(p Package) {
	registered.Set(compile(p))
}

// taskFunc is a compiled task.
type taskFunc struct {
	fn      reflect.Value
	context bool             // the first parameter is the TaskContext
	params  []*msgpack.Codec // of the parameters after it
	types   []reflect.Type
	results []*msgpack.Codec // without the error
}

// pkg is a compiled package.
type pkg struct {
	name  string
	init  func() error
	tasks map[string]*taskFunc
	fault error // all that is wrong with the registration
}

var (
	contextType = reflect.TypeFor[TaskContext]()
	errorType   = reflect.TypeFor[error]()
)

func compile(p Package) *pkg {
	c := &pkg{name: p.Name, init: p.Init, tasks: make(map[string]*taskFunc, len(p.Tasks))}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if p.Name == "" || p.Name == "." || p.Name == ".." || strings.ContainsAny(p.Name, "/\x00") {
		fault("package name %q: it must be the name of a directory", p.Name)
	}
	for i, t := range p.Tasks {
		if t.name == "" {
			fault("task %d has no name", i)
		}
		if c.tasks[t.name] != nil {
			fault("task %q is registered twice", t.name)
		}
		f, err := compileFunc(t.fn)
		if err != nil {
			fault("task %q: %w", t.name, err)
		}
		c.tasks[t.name] = f
	}
	if len(faults) > 0 {
		c.fault = fmt.Errorf("package %q is registered wrongly: %w", p.Name, errors.Join(faults...))
	}
	return c
}

func compileFunc(fn any) (*taskFunc, error) {
	f := &taskFunc{fn: reflect.ValueOf(fn)}
	if !f.fn.IsValid() || f.fn.Kind() != reflect.Func || f.fn.IsNil() {
		return f, fmt.Errorf("%T is not a function", fn)
	}
	t := f.fn.Type()
	var faults []error
	if t.IsVariadic() {
		faults = append(faults, fmt.Errorf("a task cannot be variadic: take a slice"))
	}
	codec := func(what string, i int, t reflect.Type) *msgpack.Codec {
		c, err := msgpack.CodecOf(t)
		if t == contextType {
			err = fmt.Errorf("a TaskContext can only be the first parameter")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s %d: %w", what, i, err))
		}
		return c
	}
	for i := range t.NumIn() {
		if i == 0 && t.In(0) == contextType {
			f.context = true
			continue
		}
		f.types = append(f.types, t.In(i))
		f.params = append(f.params, codec("parameter", len(f.types), t.In(i)))
	}
	last := t.NumOut() - 1
	if last < 0 || t.Out(last) != errorType {
		faults = append(faults, fmt.Errorf("the last result must be error"))
		last = t.NumOut()
	}
	for i := range last {
		f.results = append(f.results, codec("result", i+1, t.Out(i)))
	}
	return f, errors.Join(faults...)
}

// Name implements [registered.Package].
func (p *pkg) Name() string { return p.name }

// Init implements [registered.Package].
func (p *pkg) Init() []byte {
	err := p.fault
	if err == nil && p.init != nil {
		err = p.init()
	}
	if err == nil {
		return nil
	}
	return asError(err).wire().Append(nil)
}

// Execute implements [registered.Package]: the checks come in the order unknown
// task, context, inputs.
func (p *pkg) Execute(dst []byte, task, context, inputs []byte) (_ []byte, failed bool) {
	out, err := p.execute(dst, task, context, inputs)
	if err != nil {
		return asError(err).wire().Append(dst), true
	}
	return out, false
}

func (p *pkg) execute(dst []byte, task, context, inputs []byte) ([]byte, error) {
	f := p.tasks[string(task)]
	if f == nil {
		return nil, Errorf(TaskNotFound, "%s", task)
	}
	ctx, err := decodeContext(context)
	if err != nil {
		return nil, Errorf(DeserializationError, "task %q: %v", task, err)
	}
	payloads, err := wire.Parse(inputs)
	if err != nil {
		return nil, Errorf(DeserializationError, "task %q: inputs: %v", task, err)
	}
	if payloads.Len() != len(f.params) {
		return nil, Errorf(DeserializationError, "task %q takes %d arguments, got %d", task, len(f.params), payloads.Len())
	}
	args := make([]reflect.Value, 0, len(f.params)+1)
	if f.context {
		args = append(args, reflect.ValueOf(ctx))
	}
	for i, codec := range f.params {
		v := reflect.New(f.types[i]).Elem()
		payload, _ := payloads.Next()
		if _, err := codec.Decode(payload, v); err != nil {
			return nil, Errorf(DeserializationError, "task %q: parameter %d of %d (%v): %v", task, i+1, len(f.params), f.types[i], err)
		}
		args = append(args, v)
	}

	results := f.fn.Call(args)
	last := len(results) - 1
	if err, _ := results[last].Interface().(error); err != nil {
		return nil, err
	}

	dst = wire.AppendHeader(dst, last)
	for i, codec := range f.results {
		var mark int
		dst, mark = wire.BeginPayload(dst)
		if dst, err = codec.Append(dst, results[i]); err == nil {
			dst, err = wire.EndPayload(dst, mark)
		}
		if err != nil {
			return nil, Errorf(SerializationError, "task %q: result %d of %d: %v", task, i+1, last, err)
		}
	}
	return dst, nil
}
