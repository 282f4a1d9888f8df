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

	// Packages is the package directory.
	Packages string
}

// goPackages are the Go packages that are staged, by the folder of their source.
var goPackages = []struct{ name, source, flags string }{
	{"integration_test_tasks", "./internal/tasktest/packages/integration_test_tasks", ""},
	{"gobehave", "./internal/tasktest/packages/gobehave", ""},
	{"gobehave2", "./internal/tasktest/packages/gobehave", "-X main.name=gobehave2"},
	{"logsearch", "./examples/logsearch", ""},
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
	}
	unlock, err := lock(dir)
	if err != nil {
		return Built{}, err
	}
	defer unlock()

	g := goBuild{root: root, objects: filepath.Join(dir, "obj")}
	g.program(built.Spider, "./cmd/spider")
	g.program(built.Executor, "./cmd/spider-task-executor")
	g.program(built.Unprotected, "./internal/tasktest/unprotected")
	for _, p := range goPackages {
		g.build(filepath.Join(built.Packages, p.name, "lib"+p.name+".so"), p.source,
			"-buildmode=c-shared", "-ldflags="+p.flags)
	}
	if g.err != nil {
		return Built{}, g.err
	}
	return built, BuildC(built.Packages)
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

func (g *goBuild) program(target, source string) { g.build(target, source) }

func (g *goBuild) build(target, source string, flags ...string) {
	if g.err != nil {
		return
	}
	object := filepath.Join(g.objects, filepath.Base(target))
	cmd := exec.Command("go", append(append([]string{"build", "-o", object}, flags...), source)...)
	cmd.Dir = g.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		g.err = fmt.Errorf("go build %s: %w\n%s", source, err, out)
		return
	}
	g.err = install(object, target)
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
