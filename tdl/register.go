package tdl

import (
	"fmt"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"unicode/utf8"

	"github.com/spider-go/spider/internal/msgpack"
	"github.com/spider-go/spider/internal/protocol"
	"github.com/spider-go/spider/internal/wire"
	"github.com/spider-go/spider/tdl/internal/registered"
)

// Package is what [Register] takes.
type Package struct {
	// Name must be the name of the package's directory. Required; UTF-8, not
	// "." or "..", without '/' or NUL bytes.
	Name string

	// Init, if set, runs once when an executor loads the package. An error
	// makes the load, and with it the request, fail; the next request tries
	// again.
	Init func() error

	// RecoverPanics turns a panic of a task, of Init or of a type's own encoding
	// into an ExecutionError with the panic's message; the stack goes to stderr. The default, false, lets a panic end
	// the process, which is the point of running in one: the parent learns
	// message and stack, and nothing half-done lives on. A panic in another
	// goroutine than the task's, and what the Go runtime calls a fatal error
	// (a stack overflow, concurrent map writes), ends the process either way.
	RecoverPanics bool

	// Tasks are the tasks, made with [Func]. Their names must differ.
	Tasks []Task
}

// Task is one task of a package, made with [Func].
type Task struct {
	name   string
	fn     any
	params []string
	doc    string
}

// Func makes a task of a function of the form
//
//	func([tdl.TaskContext,] A, B, ...) (R, S, ..., error)
//
// with any number of parameters and results whose types have a form on the wire:
// integers, floats, bool, string, slices (also []byte), arrays, maps, structs,
// pointers (an option), any, and types made of these; [Tuple], [Enum], [Unit] and
// [Variants] make the shapes that Go has no type for. What is wrong with fn is
// told by [Register].
func Func(name string, fn any, options ...TaskOption) Task {
	t := Task{name: name, fn: fn}
	for _, option := range options {
		if option != nil {
			option(&t)
		}
	}
	return t
}

// TaskOption says more about a task, see [Params] and [Doc].
type TaskOption func(*Task)

// Params names the task's parameters, without the [TaskContext], for error
// messages and for the package's description. Go does not keep the names of a
// function's parameters, so without it they are only counted.
func Params(names ...string) TaskOption {
	return func(t *Task) { t.params = append([]string{}, names...) }
}

// Doc says in a line what the task does, for the package's description.
func Doc(line string) TaskOption { return func(t *Task) { t.doc = line } }

// Register declares the package that this program is. It is called once, from an
// init function of the main package. Whatever is wrong with the registration, all
// of it at once, is not a panic, but the error that every executor gets when it
// loads the package, and what the program says when it is started by hand.
func Register(p Package) {
	if first, ok := registered.Get().(*pkg); ok {
		again := faults{fmt.Errorf("Register was called again, for package %q: a program is one package, so put its tasks into one call", p.Name)}
		if first.fault != nil {
			again = append(faults{first.fault}, again...)
		}
		if second := compile(p); second.fault != nil {
			again = append(again, second.fault)
		}
		first.fault = again
		return
	}
	registered.Set(compile(p))
}

// taskFunc is a compiled task.
type taskFunc struct {
	fn      reflect.Value
	context bool             // the first parameter is the TaskContext
	params  []*msgpack.Codec // of the parameters after it
	types   []reflect.Type
	results []*msgpack.Codec // without the error

	name  string
	doc   string
	names []string // of the parameters; nil if not given
}

// pkg is a compiled package.
type pkg struct {
	name    string
	init    func() error
	recover bool
	tasks   map[string]*taskFunc
	order   []*taskFunc // as registered
	fault   error       // all that is wrong with the registration
}

var (
	contextType = reflect.TypeFor[TaskContext]()
	errorType   = reflect.TypeFor[error]()
)

func compile(p Package) *pkg {
	c := &pkg{name: p.Name, init: p.Init, recover: p.RecoverPanics, tasks: make(map[string]*taskFunc, len(p.Tasks))}
	var all faults
	fault := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	if reason := protocol.BadPackageName(p.Name); reason != "" {
		fault("package name %q %s", p.Name, reason)
	}
	for i, t := range p.Tasks {
		if t.name == "" {
			fault("task %d of %d has no name", i+1, len(p.Tasks))
		}
		if !utf8.ValidString(t.name) {
			fault("task name %q is not UTF-8", t.name)
		}
		if c.tasks[t.name] != nil {
			fault("task %q is registered twice", t.name)
		}
		f, wrong := compileFunc(t)
		for _, err := range wrong {
			fault("task %q: %w", t.name, err)
		}
		c.tasks[t.name] = f
		c.order = append(c.order, f)
	}
	if len(all) > 0 {
		c.fault = fmt.Errorf("package %q is registered wrongly: %w", p.Name, all)
	}
	return c
}

// faults are several errors in one line.
type faults []error

func (f faults) Error() string {
	var b strings.Builder
	for i, err := range f {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(err.Error())
	}
	return b.String()
}

func (f faults) Unwrap() []error { return f }

func compileFunc(task Task) (*taskFunc, faults) {
	f := &taskFunc{fn: reflect.ValueOf(task.fn), name: task.name, doc: task.doc}
	var all faults
	fault := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	if strings.ContainsAny(task.doc, "\r\n") || !utf8.ValidString(task.doc) {
		fault("the doc %q is not one line of UTF-8", task.doc)
	}
	switch {
	case !f.fn.IsValid() || f.fn.Kind() != reflect.Func:
		fault("%T is not a function", task.fn)
		return f, all
	case f.fn.IsNil():
		fault("the %T is nil", task.fn)
		return f, all
	}
	t := f.fn.Type()
	if t.IsVariadic() {
		fault("a task cannot be variadic: take a slice")
	}
	codec := func(what string, i int, t reflect.Type) *msgpack.Codec {
		c, err := msgpack.CodecOf(t)
		switch t {
		case contextType:
			err = fmt.Errorf("a TaskContext can only be the first parameter")
		case reflect.PointerTo(contextType):
			err = fmt.Errorf("a TaskContext is taken by value")
		}
		if err != nil {
			fault("%s %d: %w", what, i, err)
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
	if task.params != nil {
		all = append(all, checkParams(task.params, len(f.params))...)
		f.names = task.params
	}
	last := t.NumOut() - 1
	if last < 0 || t.Out(last) != errorType {
		fault("the last result must be error")
		last = t.NumOut()
	}
	for i := range last {
		f.results = append(f.results, codec("result", i+1, t.Out(i)))
	}
	return f, all
}

func checkParams(names []string, count int) (all faults) {
	if len(names) != count {
		all = append(all, fmt.Errorf("Params names %d parameters, the function has %d", len(names), count))
	}
	seen := map[string]bool{}
	for i, name := range names {
		switch {
		case name == "" || !utf8.ValidString(name):
			all = append(all, fmt.Errorf("the name of parameter %d is empty or not UTF-8: %q", i+1, name))
		case seen[name]:
			all = append(all, fmt.Errorf("two parameters are named %q", name))
		}
		seen[name] = true
	}
	return all
}

// Misnamed implements [registered.Package].
func (p *pkg) Misnamed() error {
	if protocol.BadPackageName(p.name) == "" {
		return nil
	}
	return p.fault
}

// Name implements [registered.Package].
func (p *pkg) Name() string { return p.name }

// Init implements [registered.Package].
func (p *pkg) Init() []byte {
	err := p.load()
	if err == nil {
		return nil
	}
	return err.wire().Append(nil)
}

// Execute implements [registered.Package]: the checks come in the order unknown
// task, context, inputs.
func (p *pkg) Execute(dst []byte, task, context, inputs []byte) (_ []byte, failed bool) {
	out, err := p.execute(dst, task, context, inputs)
	if err != nil {
		return err.wire().Append(dst), true
	}
	return out, false
}

// execute is run, and what becomes of it if that does not return. A panic is not
// recovered unless the package wants it, so that the process ends with the stack as
// it was.
func (p *pkg) execute(dst []byte, task, context, inputs []byte) (out []byte, failed *Error) {
	returned := false
	defer func() {
		switch {
		case returned:
		case exiting():
			panic(goexit(fmt.Sprintf("task %q", task)))
		case p.recover:
			failed = recovered(fmt.Sprintf("task %q", task), recover())
		}
	}()
	out, err := p.run(dst, task, context, inputs)
	if err != nil {
		failed = asError(err) // that is code of the author's too
	}
	returned = true
	return out, failed
}

// goexit is what to panic with where runtime.Goexit would leave the process waiting
// for ever.
func goexit(what string) string { return what + " called runtime.Goexit: return an error instead" }

// recovered turns a panic into an error.
func recovered(what string, reason any) *Error {
	fmt.Fprintf(os.Stderr, "panic in %s, recovered: %v\n\n%s", what, reason, debug.Stack())
	return Errorf(ExecutionError, "panic: %v", reason)
}

func (p *pkg) run(dst []byte, task, context, inputs []byte) ([]byte, error) {
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
		missing := ""
		if n := payloads.Len(); n < len(f.params) {
			missing = ": the first that is missing is parameter " + f.param(n)
		}
		return nil, Errorf(DeserializationError, "task %q takes %d arguments, got %d%s", task, len(f.params), payloads.Len(), missing)
	}
	args := make([]reflect.Value, 0, len(f.params)+1)
	if f.context {
		args = append(args, reflect.ValueOf(ctx))
	}
	for i, codec := range f.params {
		v := reflect.New(f.types[i]).Elem()
		payload, _ := payloads.Next()
		if _, err := codec.Decode(payload, v); err != nil {
			return nil, Errorf(DeserializationError, "task %q: parameter %s: %v", task, f.param(i), err)
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

// param says which parameter it is, and of which type.
func (f *taskFunc) param(i int) string {
	if f.names == nil {
		return fmt.Sprintf("%d of %d (%v)", i+1, len(f.params), f.types[i])
	}
	return fmt.Sprintf("%d of %d, %s (%v)", i+1, len(f.params), f.names[i], f.types[i])
}

// exiting reports whether the deferred function that calls it runs because of
// runtime.Goexit, and not because of a panic.
func exiting() bool {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		frame, more := frames.Next()
		switch frame.Function {
		case "runtime.Goexit":
			return true
		case "runtime.gopanic":
			return false
		}
		if !more {
			return false
		}
	}
}
