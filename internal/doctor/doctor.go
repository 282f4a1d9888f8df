package doctor

import (
	"context"
	"errors"
	"fmt"
	"go/version"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spider-go/spider/internal/inspect"
	"github.com/spider-go/spider/internal/scaffold"
	"github.com/spider-go/spider/internal/staging"
	"github.com/spider-go/spider/internal/throwaway"
	"github.com/spider-go/spider/pool"
)

// Level is how much a finding matters.
type Level string

// The levels.
const (
	OK   Level = "ok"
	Note Level = "note" // something is not possible, or not good, that may not be needed
	Fail Level = "fail" // packages cannot be run, or one of them cannot
)

// Finding is what one check has found.
type Finding struct {
	Check  string `json:"check"`
	Level  Level  `json:"level"`
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"` // what to do; "" if there is nothing
}

// Config says what to look at.
type Config struct {
	Executor, Missing string // the program, or why there is none
	PackageDir        string

	// Timeout is how long each program that is tried may take.
	Timeout time.Duration
}

// Usable reports whether nothing has failed.
func Usable(findings []Finding) bool {
	for _, f := range findings {
		if f.Level == Fail {
			return false
		}
	}
	return true
}

// Examine makes all checks. The error is ctx's own.
func Examine(ctx context.Context, cfg Config) ([]Finding, error) {
	e := &examination{ctx: ctx, cfg: cfg}
	e.goCommand()
	e.cCompiler()
	e.cargo()
	e.sdk()
	e.executor()
	e.packages()
	e.kernel()
	e.limits()
	return e.findings, ctx.Err()
}

type examination struct {
	ctx      context.Context
	cfg      Config
	findings []Finding
}

func (e *examination) add(check string, level Level, advice, format string, args ...any) {
	e.findings = append(e.findings, Finding{Check: check, Level: level, Found: fmt.Sprintf(format, args...), Advice: advice})
}

// oldestGo is the oldest version of Go that packages are built with.
const oldestGo = "go1.26"

// maxOutput is how much a program that is tried may print, in bytes.
const maxOutput = 64 << 10

// run returns the first line that a program prints to stdout.
func (e *examination) run(program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(e.ctx, e.cfg.Timeout)
	defer cancel()
	r, err := throwaway.Run(ctx, throwaway.Command{Program: program, Args: args, MaxOutput: maxOutput})
	switch {
	case err != nil:
		return "", err
	case r.Cut != nil:
		return "", fmt.Errorf("%s did not end within %v", program, e.cfg.Timeout)
	case r.Status != 0:
		return "", fmt.Errorf("%s has failed: %s", strings.Join(append([]string{program}, args...), " "), r.Reason())
	}
	line, _, _ := strings.Cut(string(r.Stdout), "\n")
	return strings.ToValidUTF8(line, "?"), nil
}

func (e *examination) goCommand() {
	const needed = "Go packages are built with it: install " + oldestGo + " or newer, and put its bin folder on PATH"
	text, err := e.run("go", "env", "GOVERSION")
	switch {
	case err != nil:
		e.add("Go", Note, needed, "%v", err)
	case version.IsValid(text) && version.Compare(text, oldestGo) < 0:
		e.add("Go", Note, needed, "%s is older than %s", text, oldestGo)
	default:
		e.add("Go", OK, "", "%s", text)
	}
}

// cCompiler builds a small library with the headers of packages.
func (e *examination) cCompiler() {
	const needed = "C packages, and Go packages as libraries, are built with it: install gcc with the C library's headers, or set $CC"
	cc, err := staging.CCompiler()
	if err != nil {
		e.add("C compiler", Note, needed, "%v", err)
		return
	}
	dir, err := os.MkdirTemp("", "spider-doctor-")
	if err != nil {
		e.add("C compiler", Note, "make a folder for temporary files, or set $TMPDIR", "%v", err)
		return
	}
	defer os.RemoveAll(dir)
	source := "#include \"tdl_value.h\"\nstatic const struct spider_task tasks[] = {{ 0, 0 }};\nSPIDER_PACKAGE(\"doctor\", tasks);\n"
	err = os.WriteFile(filepath.Join(dir, "doctor.c"), []byte(source), 0o644)
	for name, text := range scaffold.Headers() {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), text, 0o644))
	}
	if err != nil {
		e.add("C compiler", Note, "make room for temporary files, or set $TMPDIR", "%v", err)
		return
	}
	args := append(cc[1:len(cc):len(cc)], "-shared", "-fPIC", "-o", filepath.Join(dir, "doctor.so"), filepath.Join(dir, "doctor.c"))
	if _, err := e.run(cc[0], args...); err != nil {
		e.add("C compiler", Note, needed, "it cannot build a library: %v", err)
		return
	}
	name := strings.Join(cc, " ")
	if text, err := e.run(cc[0], "--version"); err == nil {
		name = text
	}
	e.add("C compiler", OK, "", "%s", name)
}

func (e *examination) cargo() {
	text, err := e.run("cargo", "--version")
	if err != nil {
		e.add("cargo", Note, "only Rust packages need it", "%v", err)
		return
	}
	e.add("cargo", OK, "", "%s", text)
}

func (e *examination) sdk() {
	dir, err := scaffold.FindSDK("")
	if err != nil {
		e.add("Go SDK", Note, "only new Go packages need it", "%v", err)
		return
	}
	e.add("Go SDK", OK, "", "%s", dir)
}

// executor starts the executor, and asks for a package that nobody has.
func (e *examination) executor() {
	const build = "build it with make build, put it beside spider or on PATH, or name it with --executor"
	if e.cfg.Executor == "" {
		e.add("executor", Fail, build, "%s", e.cfg.Missing)
		return
	}
	took, err := e.ask()
	if err != nil {
		e.add("executor", Fail, build, "%v", err)
		return
	}
	e.add("executor", OK, "", "%s, first answer after %v", e.cfg.Executor, took.Round(100*time.Microsecond))
}

func (e *examination) ask() (time.Duration, error) {
	empty, err := os.MkdirTemp("", "spider-doctor-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(empty)
	took, err := inspect.Load(e.ctx, pool.ProcessConfig{Executor: e.cfg.Executor, PackageDir: empty}, "nobody_has_it", e.cfg.Timeout)
	var answered *pool.ExecutorError
	var crash *pool.CrashError
	switch {
	case errors.As(err, &answered) && answered.Kind == pool.InvalidLibrary:
		return took, nil
	case errors.As(err, new(*pool.SpawnError)):
		return 0, err
	case errors.As(err, &crash):
		return 0, fmt.Errorf("%s ended without an answer: %s", e.cfg.Executor, crash.Cause())
	case err == nil:
		return 0, fmt.Errorf("%s answers for a package that is not there", e.cfg.Executor)
	}
	return 0, fmt.Errorf("%s: %w", e.cfg.Executor, err)
}

func (e *examination) packages() {
	dir := e.cfg.PackageDir
	if e.ctx.Err() != nil {
		return
	}
	packages, err := inspect.Directory(e.ctx, dir, inspect.Options{Executor: e.cfg.Executor, Missing: e.cfg.Missing, Timeout: e.cfg.Timeout})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.add("package directory", Fail, "name it with --package-dir or $SPIDER_TDL_PACKAGE_DIR, or make it: spider new and spider build do", "there is no %s", dir)
		return
	case err != nil:
		e.add("package directory", Fail, "name another one with --package-dir or $SPIDER_TDL_PACKAGE_DIR", "%v", err)
		return
	case len(packages) == 0:
		e.add("package directory", Note, "spider new writes a package, spider build puts it there", "%s is empty", dir)
		return
	}
	var (
		loaded, untried int
		failed          []Finding
	)
	for i := range packages {
		p := &packages[i]
		r := p.Preferred()
		switch trouble := p.Trouble(); {
		case trouble != "":
			failed = append(failed, Finding{Check: "package " + p.Name, Level: Fail, Found: trouble, Advice: advice(p)})
		case r.Verdict == inspect.NotTried:
			untried++
		default:
			loaded++
		}
	}
	switch {
	case untried > 0:
		e.add("package directory", Note, "", "%s: %d of %d packages load, %d were not tried", dir, loaded, len(packages), untried)
	case len(failed) > 0:
		e.add("package directory", Note, "", "%s: %d of %d packages load", dir, loaded, len(packages))
	default:
		e.add("package directory", OK, "", "%s: %d of %d packages load", dir, loaded, len(packages))
	}
	e.findings = append(e.findings, failed...)
}

// advice says what to do with a package that does not load.
func advice(p *inspect.Package) string {
	const otherwise = "build it again, or remove it"
	r := p.Preferred()
	if r == nil {
		return otherwise
	}
	for _, n := range r.Needs {
		if n.Path == "" {
			return "install the library " + n.Name + ", or set $LD_LIBRARY_PATH to where it is"
		}
	}
	switch {
	case r.Foreign:
		return "build it for this machine"
	case r.Misplaced != "":
		return "move it there"
	}
	return otherwise + "; spider inspect " + p.Name + " says more"
}
