package tasktest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// A CPackage is one package that [BuildC] makes: a library compiled from
// testdata/c, or a file that is no library at all.
type CPackage struct {
	Name string // of the directory and, as lib<Name>.so, of the file
	Doc  string // what is special about it, in a line

	Source string   // the C file; empty if this is no library
	Flags  []string // extra compiler flags, most of them -D
	// Exports are the symbols of the ABI it defines.
	Exports []string
	// Needs names a library it is linked against that exists nowhere.
	Needs string

	// place makes what stands at path instead of a library.
	place func(path string) error
}

// Path returns where BuildC(dir) puts the package's file.
func (p CPackage) Path(dir string) string {
	return filepath.Join(dir, p.Name, "lib"+p.Name+".so")
}

// The symbols of the C ABI.
const (
	symVersion  = "__spider_tdl_package_get_version"
	symName     = "__spider_tdl_package_get_name"
	symInit     = "__spider_tdl_package_init"
	symExecute  = "__spider_tdl_package_execute"
	symDescribe = "__spider_tdl_package_describe"
)

var (
	exportsPlain    = []string{symVersion, symName, symExecute}
	exportsInit     = []string{symVersion, symName, symInit, symExecute}
	exportsDescribe = []string{symVersion, symName, symExecute, symDescribe}
)

// CPackages lists all packages that [BuildC] makes. The tasks of misbehave
// stand in a table at the end of its source; the others have the tasks ok (no
// result) and init_calls (a u64), but for echo, which has that one.
var CPackages = []CPackage{
	{Name: "misbehave", Doc: "loads; one task per bad behaviour", Source: "misbehave.c", Exports: exportsPlain},
	{Name: "echo", Doc: "loads; its task echo gives back its inputs, for the overhead report", Source: "echo.c", Flags: []string{"-O2"}, Exports: exportsPlain},

	odd("wrong_major", "declares version 9.8.7", exportsPlain, "-DVERSION=9,8,7"),
	odd("wrong_minor", "declares version 0.2.0", exportsPlain, "-DVERSION=0,2,0"),
	odd("patch_differs", "declares version 0.1.9 and loads", exportsPlain, "-DVERSION=0,1,9"),

	odd("bad_utf8_name", "declares the name bytes ff fe", exportsPlain, `-DNAME="\xff\xfe"`),
	odd("other_name", "declares the name declared_name", exportsPlain, `-DNAME="declared_name"`),
	odd("empty_name", "declares a name of length 0 at address 1", exportsPlain, "-DNAME_DANGLING"),

	odd("no_execute", "lacks the execute symbol", []string{symVersion, symName}, "-DNO_EXECUTE"),
	odd("no_version", "lacks the version symbol", []string{symName, symExecute}, "-DNO_VERSION"),
	odd("no_name", "lacks the name symbol", []string{symVersion, symExecute}, "-DNO_NAME"),

	odd("no_init", "loads; has no init symbol", exportsPlain),
	odd("init_ok_zero_len", "loads; init succeeds with length 0 at address 1", exportsInit, "-DINIT_OK_ZERO_LEN"),
	odd("init_payload", "loads; init succeeds with bytes that must be freed", exportsInit, "-DINIT_PAYLOAD"),
	odd("init_counts", "loads; init_calls answers how often init ran", exportsInit, "-DINIT_COUNTS"),
	odd("init_fails", `init fails with ExecutionError("init refuses")`, exportsInit, "-DINIT_FAILS"),
	odd("init_fails_garbage", "init fails with bytes that are no error", exportsInit, "-DINIT_FAILS_GARBAGE"),
	odd("init_fails_empty", "init fails with length 0 at address 1", exportsInit, "-DINIT_FAILS_EMPTY"),
	odd("init_fails_no_execute", "init fails as that of init_fails, and there is no execute symbol", []string{symVersion, symName, symInit}, "-DINIT_FAILS", "-DNO_EXECUTE"),
	odd("init_crashes", "init dies of SIGSEGV", exportsInit, "-DINIT_CRASHES"),
	odd("init_hangs", "init never returns", exportsInit, "-DINIT_HANGS"),

	needing("absent_dependency", odd("needs_missing_library", "needs a library that exists nowhere", exportsPlain)),
	odd("undefined_symbol", "calls a function that exists nowhere: RTLD_NOW refuses it", exportsPlain, "-DUNDEFINED_SYMBOL"),
	odd("constructor_crashes", "dies of SIGSEGV inside dlopen", exportsPlain, "-DCONSTRUCTOR_CRASHES"),

	odd("constructor_hangs", "dlopen never returns", exportsPlain, "-DCONSTRUCTOR_HANGS"),
	odd("constructor_forks", "leaves a process behind that ignores signals and holds its pipes", exportsPlain, "-DCONSTRUCTOR_FORKS"),
	odd("constructor_exits", "exits with status 7 inside dlopen", exportsPlain, "-DCONSTRUCTOR_EXITS"),

	odd("describe_hangs", "describe never returns", exportsDescribe, "-DDESCRIBE_HANGS"),
	odd("describe_crashes", "describe dies of SIGABRT, with a message", exportsDescribe, "-DDESCRIBE_CRASHES"),
	odd("describe_garbage", "describes itself in what is no JSON", exportsDescribe, "-DDESCRIBE=\"this is no JSON\""),
	odd("describe_empty", "describes itself in JSON that says nothing", exportsDescribe, "-DDESCRIBE=\"{}\""),
	odd("describe_newer", "describes itself in form 2", exportsDescribe, "-DDESCRIBE=\"{\\\"describe\\\": 2}\""),
	odd("describe_long", "describes itself in 5 MiB", exportsDescribe, "-DDESCRIBE_LONG"),
	odd("describe_fails", "says that it cannot describe itself", exportsDescribe, "-DDESCRIBE_FAILS"),

	{Name: "text_file", Doc: "a text file", place: func(path string) error {
		return os.WriteFile(path, []byte("This is not a library.\n"), 0o644)
	}},
	{Name: "empty_file", Doc: "an empty file", place: func(path string) error {
		return os.WriteFile(path, nil, 0o644)
	}},
	{Name: "directory", Doc: "a directory where the file should be", place: func(path string) error {
		return os.MkdirAll(path, 0o755)
	}},
}

// odd describes a package made of odd.c; it declares the name of its directory
// unless a flag gives another.
func odd(name, doc string, exports []string, flags ...string) CPackage {
	named := func(flag string) bool { return strings.HasPrefix(flag, "-DNAME=") }
	if !slices.ContainsFunc(flags, named) {
		flags = append(flags, fmt.Sprintf("-DNAME=%q", name))
	}
	return CPackage{Name: name, Doc: doc, Source: "odd.c", Flags: flags, Exports: exports}
}

// needing links p against a library that exists only while it is linked.
func needing(library string, p CPackage) CPackage {
	p.Needs = library
	return p
}

// BuildC makes every package of [CPackages] in dir, which then serves as
// SPIDER_TDL_PACKAGE_DIR, with the C compiler $CC, else cc, else gcc. What is
// newer than its sources stays as it is. Libraries are renamed into place, so
// several processes may build into the same dir at once. An error carries the
// compiler's output.
func BuildC(dir string) error {
	return buildC(dir, "internal/tasktest/testdata/c", CPackages)
}

// buildC makes packages whose sources are in a folder of the module.
func buildC(dir, sources string, packages []CPackage) error {
	b, err := newCBuild(dir, sources)
	if err != nil {
		return err
	}
	defer os.RemoveAll(b.scratch)

	errs := make([]error, len(packages))
	slots := make(chan struct{}, runtime.NumCPU())
	var wg sync.WaitGroup
	for i, p := range packages {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := b.build(p); err != nil {
				errs[i] = fmt.Errorf("tasktest: package %s: %w", p.Name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// A cBuild is one run of buildC.
type cBuild struct {
	dir     string   // gets the packages
	scratch string   // inside dir, so that a rename out of it works
	cc      []string // the compiler and arguments of its own, as in CC="ccache gcc"
	sources string   // where the C files are
	header  string   // the directory of tdl.h
	changed time.Time
}

func newCBuild(dir, sources string) (*cBuild, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	b := &cBuild{
		dir:     dir,
		sources: filepath.Join(root, sources),
		header:  filepath.Join(root, "tdl", "cshared"),
	}
	if b.cc, err = cCompiler(); err != nil {
		return nil, err
	}

	// This file holds the flags, so it counts as a source.
	files, err := filepath.Glob(filepath.Join(b.sources, "*"))
	if err != nil {
		return nil, err
	}
	files = append(files, filepath.Join(b.header, "tdl.h"), filepath.Join(b.header, "tdl_value.h"),
		filepath.Join(root, "internal", "tasktest", "cpackages.go"))
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return nil, fmt.Errorf("tasktest: %w", err)
		}
		if info.ModTime().After(b.changed) {
			b.changed = info.ModTime()
		}
	}

	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("tasktest: %w", err)
	}
	if b.scratch, err = os.MkdirTemp(dir, ".build-"); err != nil {
		return nil, fmt.Errorf("tasktest: %w", err)
	}
	return b, nil
}

func (b *cBuild) build(p CPackage) error {
	out := p.Path(b.dir)
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	if p.place != nil {
		return p.place(out)
	}
	if info, err := os.Stat(out); err == nil && info.ModTime().After(b.changed) {
		return nil
	}

	var libs []string
	if p.Needs != "" {
		if err := b.stub(p.Needs); err != nil {
			return err
		}
		libs = []string{"-L" + b.scratch, "-Wl,--no-as-needed", "-l" + p.Needs}
	}
	temporary := filepath.Join(b.scratch, p.Name+".so")
	args := []string{"-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-fPIC", "-shared", "-pthread",
		"-Wall", "-Wextra", "-Werror", "-I" + b.header}
	args = append(args, p.Flags...)
	args = append(args, "-o", temporary, filepath.Join(b.sources, p.Source))
	if err := b.compile(append(args, libs...)...); err != nil {
		return err
	}
	return os.Rename(temporary, out)
}

// stub makes an empty library to link against, gone when the build is over.
func (b *cBuild) stub(name string) error {
	file := "lib" + name + ".so"
	return b.compile("-fPIC", "-shared", "-Wl,-soname,"+file, "-o", filepath.Join(b.scratch, file),
		"-x", "c", os.DevNull)
}

func (b *cBuild) compile(args ...string) error {
	cmd := exec.Command(b.cc[0], append(b.cc[1:len(b.cc):len(b.cc)], args...)...)
	output, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(output))
	}
	return nil
}

func cCompiler() ([]string, error) {
	if cc := strings.Fields(os.Getenv("CC")); len(cc) > 0 {
		return cc, nil
	}
	for _, name := range []string{"cc", "gcc"} {
		if path, err := exec.LookPath(name); err == nil {
			return []string{path}, nil
		}
	}
	return nil, errors.New("tasktest: no C compiler: neither $CC nor cc nor gcc")
}

// moduleRoot finds the source tree: from where this file was compiled, else,
// in a program built with -trimpath, upwards from the working directory.
func moduleRoot() (string, error) {
	var starts []string
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		starts = append(starts, filepath.Dir(file))
	}
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	for _, dir := range starts {
		for {
			text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
			if err == nil && bytes.HasPrefix(text, []byte("module github.com/spider-go/spider\n")) {
				return dir, nil
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return "", fmt.Errorf("tasktest: %w", err)
			}
			parent := filepath.Dir(dir)
			if parent == dir {
				break
			}
			dir = parent
		}
	}
	return "", errors.New("tasktest: the source tree of github.com/spider-go/spider is not here")
}

// BuildHost compiles testdata/c/<name>.c, a program that opens packages itself,
// to the file out.
func BuildHost(name, out string) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	b := &cBuild{}
	if b.cc, err = cCompiler(); err != nil {
		return err
	}
	return b.compile("-std=gnu11", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-Werror",
		"-I"+filepath.Join(root, "tdl", "cshared"), "-o", out,
		filepath.Join(root, "internal", "tasktest", "testdata", "c", name+".c"), "-ldl")
}
