package tasktest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
)

// Built says where things are, as absolute paths.
type Built struct {
	Spider   string // the command
	Executor string // spider-task-executor

	// Unprotected is an executor for tests that leaves out the protections
	// named in SPIDER_TEST_WITHOUT.
	Unprotected string

	// Packages is the package directory: libraries, and the example packages as
	// programs too.
	Packages string

	// SelfHosted is a package directory with the Go packages as programs only.
	SelfHosted string
}

// goPackages are the Go packages that are staged, by the folder of their source.
var goPackages = []struct {
	name, source string
	flags        string // of the linker
	cgo          bool   // it has C of its own
	example      bool
}{
	{name: "integration_test_tasks", source: "./internal/tasktest/packages/integration_test_tasks", cgo: true},
	{name: "gobehave", source: "./internal/tasktest/packages/gobehave"},
	{name: "gobehave2", source: "./internal/tasktest/packages/gobehave", flags: "-X main.name=gobehave2"},
	{name: "gorecover", source: "./internal/tasktest/packages/gorecover"},
	{name: "gofaulty", source: "./internal/tasktest/packages/gofaulty"},
	{name: "logsearch", source: "./examples/logsearch", example: true},
}

// Build stages everything below the module's build folder, once per process;
// what is up to date there is left alone.
var Build = sync.OnceValues(func() (Built, error) {
	root, err := moduleRoot()
	if err != nil {
		return Built{}, err
	}
	return Stage(filepath.Join(root, "build"))
})

// Stage builds the programs and all test and example packages into dir: bin/...
// and tdl_packages/<package>/... . Test processes that stage the same folder wait
// for each other. A file that is in use is replaced, never written into.
func Stage(dir string) (Built, error) {
	root, err := moduleRoot()
	if err != nil {
		return Built{}, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return Built{}, err
	}
	built := Built{
		Spider:      filepath.Join(dir, "bin", "spider"),
		Executor:    filepath.Join(dir, "bin", "spider-task-executor"),
		Unprotected: filepath.Join(dir, "test", "unprotected"),
		Packages:    filepath.Join(dir, "tdl_packages"),
		SelfHosted:  filepath.Join(dir, "test", "self_hosted"),
	}
	unlock, err := lock(dir)
	if err != nil {
		return Built{}, err
	}
	defer unlock()

	g := goBuild{root: root, objects: filepath.Join(dir, "obj")}
	// Without a C library it starts sooner, and runs on any Linux.
	g.build(built.Spider, "./cmd/spider", "CGO_ENABLED=0")
	g.build(built.Executor, "./cmd/spider-task-executor", "CGO_ENABLED=1")
	g.build(built.Unprotected, "./internal/tasktest/unprotected", "CGO_ENABLED=1")
	for _, p := range goPackages {
		g.build(filepath.Join(built.Packages, p.name, "lib"+p.name+".so"), p.source, "CGO_ENABLED=1",
			"-buildmode=c-shared", "-ldflags="+p.flags)
		program := filepath.Join(built.SelfHosted, p.name, p.name)
		// Without cgo where it can be: it starts in half the time.
		cgo := "CGO_ENABLED=0"
		if p.cgo {
			cgo = "CGO_ENABLED=1"
		}
		g.build(program, p.source, cgo, "-ldflags="+p.flags)
		if p.example {
			g.copy(program, filepath.Join(built.Packages, p.name, p.name))
		}
	}
	if g.err != nil {
		return Built{}, g.err
	}
	if err := BuildC(built.Packages); err != nil {
		return Built{}, err
	}
	return built, BuildExamplesC(built.Packages)
}

func lock(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}

// goBuild runs the go command; after the first error it does nothing.
type goBuild struct {
	root    string
	objects string // the go command's own outputs, so that it can see what is up to date
	err     error
}

func (g *goBuild) build(target, source, cgo string, flags ...string) {
	if g.err != nil {
		return
	}
	object := filepath.Join(g.objects, filepath.Base(target))
	cmd := exec.Command("go", append(append([]string{"build", "-o", object}, flags...), source)...)
	cmd.Dir = g.root
	cmd.Env = append(os.Environ(), cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		g.err = fmt.Errorf("go build %s: %w\n%s", source, err, out)
		return
	}
	g.err = install(object, target)
}

func (g *goBuild) copy(from, to string) {
	if g.err == nil {
		g.err = install(from, to)
	}
}

// install puts a copy of object at target by rename, unless it is there already.
func install(object, target string) error {
	content, err := os.ReadFile(object)
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(target); err == nil && bytes.Equal(old, content) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	fresh := target + ".new"
	if err := os.WriteFile(fresh, content, 0o755); err != nil {
		return err
	}
	return os.Rename(fresh, target)
}
