package tdl

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spider-go/spider/internal/executor"
	"github.com/spider-go/spider/internal/protocol"
	"github.com/spider-go/spider/tdl/internal/registered"
)

// Main is the main function of a package that is built as a program:
//
//	func main() { tdl.Main() }
//
// The program is then an executor of its own for this one package, with one Go
// runtime and no native code around it: it speaks the protocol on stdin and
// stdout, and is put beside or in place of the library,
// $SPIDER_TDL_PACKAGE_DIR/<package>/<package>. The parent side prefers it. In a
// library, main is never called.
//
// What tasks print to stdout goes to stderr. What init functions print there goes to
// the parent, which takes it for damage: print to stderr instead. A panic that nobody recovers ends the
// process by SIGABRT, with its message and stacks on stderr. The process ends with
// its parent.
//
// With --describe it prints the package's [Description] instead. Main does not
// return.
func Main() {
	p, _ := registered.Get().(*pkg)
	os.Exit(main(p, os.Args[1:], os.Stdout, os.Stderr))
}

func main(p *pkg, args []string, stdout, stderr io.Writer) (status int) {
	switch {
	case p == nil:
		fmt.Fprintln(stderr, "this program registers no package: call tdl.Register in an init function")
		return 1
	case len(args) == 1 && args[0] == "--describe":
		text, err := p.description()
		if err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
		if _, err := fmt.Fprintf(stdout, "%s\n", text); err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
		return 0
	case len(args) == 0 && !executor.IsTerminal(0):
		return p.serve()
	}
	if p.fault != nil {
		fmt.Fprintln(stderr, p.fault)
	}
	fmt.Fprintf(stderr, `This is the TDL package %s. It is started by the parent side of Spider, which
speaks the executor protocol with it on stdin and stdout. By hand:

    spider run %[1]s TASK [ARGUMENT...]
    %s --describe
`, p.name, os.Args[0])
	if len(args) == 1 && (args[0] == "--help" || args[0] == "-h") {
		return 0
	}
	return 2
}

// serve is the life of an executor process.
func (p *pkg) serve() (status int) {
	// Libraries that a task may call through cgo can keep state per thread.
	runtime.LockOSThread()
	return executor.Main(executor.Config{
		Open: func(*slog.Logger) (executor.Runner, error) { return &runner{pkg: p}, nil },
		Protect: func(protections executor.Protection) error {
			if protections&executor.ProtectSignals != 0 {
				// Otherwise a panic would end it with exit status 2, as if it
				// had chosen to.
				debug.SetTraceback("crash")
			}
			if protections&executor.ProtectLimits != 0 {
				debug.SetMaxStack(registered.MaxStack)
			}
			if protections&executor.ProtectParent != 0 {
				return executor.WatchParent()
			}
			return nil
		},
	})
}

// runner runs the tasks of one package in this process.
type runner struct {
	pkg    *pkg
	loaded bool
	result []byte // reused
}

// Run implements [executor.Runner].
func (r *runner) Run(e *protocol.Execute) protocol.Outcome {
	switch {
	case r.loaded && string(e.Package) == r.pkg.name:
	case r.pkg.fault == nil && string(e.Package) != r.pkg.name:
		return executor.Fail(&protocol.ExecutorError{
			Variant: protocol.InvalidLibrary,
			Message: fmt.Sprintf("package %q: this executor is the package %q itself and serves no other", e.Package, r.pkg.name),
		})
	default:
		if err := r.pkg.load(); err != nil {
			return executor.Fail(&protocol.ExecutorError{Variant: protocol.PackageInitError, Task: err.wire()})
		}
		r.loaded = true
	}
	result, err := r.pkg.execute(r.result[:0], e.Task, e.Context, e.Inputs)
	if err != nil {
		return executor.Fail(&protocol.ExecutorError{Variant: protocol.TaskError, Task: err.wire()})
	}
	r.result = result
	return protocol.Outcome{Payload: result}
}

// Release implements [executor.Runner].
func (r *runner) Release() {
	if cap(r.result) > registered.KeepResult {
		r.result = nil
	}
}

// load runs the init hook, unless the registration is wrong already.
func (p *pkg) load() (failed *Error) {
	returned := false
	defer func() {
		switch {
		case returned:
		case exiting():
			panic(goexit("the init hook of package " + p.name))
		case p.recover:
			failed = recovered("the init hook of package "+p.name, recover())
		}
	}()
	err := p.fault
	if err == nil && p.init != nil {
		err = p.init()
	}
	if err != nil {
		failed = asError(err)
	}
	returned = true
	return failed
}
