package inspect

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spider-go/spider/internal/catalog"
	"github.com/spider-go/spider/internal/executor"
	"github.com/spider-go/spider/internal/protocol"
	"github.com/spider-go/spider/internal/throwaway"
	"github.com/spider-go/spider/pool"
	"github.com/spider-go/spider/tdl"
)

// DefaultTimeout is how long each of a package's own steps may take.
const DefaultTimeout = 10 * time.Second

// maxFindings is how much an executor may print about a library, in bytes. A description
// is most of it.
const maxFindings = 8 << 20

// Options say how far to go.
type Options struct {
	// Executor is the program that loads libraries. "": they are not loaded, for Missing.
	Executor string

	// Missing says why there is no Executor.
	Missing string

	// Static runs no code of the file.
	Static bool

	// Timeout, if not 0, is used instead of DefaultTimeout.
	Timeout time.Duration
}

// Verdict is whether an executor loads a file.
type Verdict string

// The verdicts.
const (
	Loads    Verdict = "loads"
	Refused  Verdict = "refused"   // Report.Reason says why
	NotTried Verdict = "not tried" // Report.Reason says why
)

// Report is all that was found out about a file.
type Report struct {
	Facts

	// Place is the package's name as directory and file have it: DIR/Place/libPlace.so or
	// DIR/Place/Place. "" if they are not called alike.
	Place string `json:"place,omitempty"`

	// Name is what the package calls itself, and ABI the version it was built for; ""
	// if that was not found out.
	Name string `json:"name,omitempty"`
	ABI  string `json:"abi,omitempty"`

	// Description is what it says of itself. Nil: Silence says why.
	Description *tdl.Description `json:"description,omitempty"`
	Silence     string           `json:"silence,omitempty"`

	Verdict Verdict `json:"verdict"`
	Reason  string  `json:"reason,omitempty"`

	// Misplaced says where the file would have to lie to be found under its name, "" if
	// it does.
	Misplaced string `json:"misplaced,omitempty"`
}

// Usable reports whether an executor takes the file from where it is.
func (r *Report) Usable() bool { return r.Verdict == Loads && r.Misplaced == "" }

// File finds out about the file at path. Unless it is told not to, it runs the file's code
// in a subprocess. The error is that the file cannot be read, or ctx's own.
func File(ctx context.Context, path string, o Options) (*Report, error) {
	facts, err := Read(path)
	if err != nil {
		return nil, err
	}
	r := &Report{Facts: facts, Verdict: NotTried}
	r.Place = place(path, facts.Form)
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	switch {
	case r.Form == Other:
		r.Verdict, r.Reason = Refused, r.Damage
	case o.Static:
		r.Reason = "none of its code was run"
	case r.Form == Library && o.Executor == "":
		r.Reason = o.Missing
	case r.Form == Library:
		err = r.examine(ctx, o)
	case r.Build.Spider || r.Place != "":
		err = r.start(ctx, o)
	default:
		// Not even with a flag: there is no telling what it does.
		r.Verdict, r.Reason = Refused, "nothing says that this program is a package: it is not built with the Go SDK, and does not lie in a package directory as NAME/NAME. It was not started"
	}
	if err != nil {
		return nil, err
	}
	r.Silence = cmp.Or(r.Silence, r.Reason)
	r.misplaced()
	return r, nil
}

// place is the name that the last two parts of path agree on.
func place(path string, form Form) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	name := filepath.Base(filepath.Dir(abs))
	if form == Library && filepath.Base(abs) == "lib"+name+".so" || form == Program && filepath.Base(abs) == name {
		return name
	}
	return ""
}

// misplaced compares the place with the name.
func (r *Report) misplaced() {
	name := r.Name
	if name == "" && (r.Place != "" || r.Verdict == Refused) || r.Form == Other {
		return // nothing to compare
	}
	want := filepath.Join("DIR", "NAME", "libNAME.so")
	if name != "" {
		want = filepath.Join("DIR", name, "lib"+name+".so")
	}
	if r.Form == Program {
		want = strings.ReplaceAll(filepath.Join("DIR", "NAME", "NAME"), "NAME", cmp.Or(name, "NAME"))
	}
	switch {
	case name != "" && name == r.Place:
	case name != "" && r.Place != "":
		r.Misplaced = fmt.Sprintf("it declares the name %s, so it must be %s", name, want)
	default:
		r.Misplaced = fmt.Sprintf("to be found, it must be %s", want)
	}
}

// examine has the executor load the library.
func (r *Report) examine(ctx context.Context, o Options) error {
	limited, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	run, err := throwaway.Run(limited, throwaway.Command{
		Program:   o.Executor,
		Args:      []string{"--examine", r.Path},
		MaxOutput: maxFindings,
	})
	if err != nil {
		r.Reason = fmt.Sprintf("cannot start the executor %s: %v", o.Executor, err)
		return nil
	}
	if err := ctx.Err(); err != nil && run.Cut != nil {
		return err
	}
	findings := parseFindings(run.Stdout)
	if len(findings) == 0 && run.Cut == nil && !run.Status.Signaled() {
		r.Reason = fmt.Sprintf("the executor %s does not know --examine%s", o.Executor, said(&run))
		return nil
	}
	r.Verdict = Loads
	for _, f := range findings {
		r.take(f)
	}
	last := executor.Finding{Done: true}
	if len(findings) > 0 {
		last = findings[len(findings)-1]
	}
	if last.Done && (last.Step == executor.StepDescribe || last.Error != "") && run.Cut == nil {
		return nil
	}
	how := ended(&run, o.Timeout)
	if last.Step == executor.StepDescribe {
		r.Silence = how + " while it described itself"
		return nil
	}
	r.Verdict, r.Reason = Refused, how+" "+during[last.Step]
	return nil
}

var during = map[string]string{
	"":                    "before it was opened",
	executor.StepOpen:     "while it was opened",
	executor.StepVersion:  "when it was asked for its version",
	executor.StepName:     "when it was asked for its name",
	executor.StepInit:     "in its init function",
	executor.StepExecute:  "while it was looked at",
	executor.StepDescribe: "while it described itself",
}

// take takes what one step has brought.
func (r *Report) take(f executor.Finding) {
	if !f.Done {
		return
	}
	if f.Error != "" && f.Step != executor.StepDescribe && r.Verdict == Loads {
		r.Verdict, r.Reason = Refused, brief(f.Error)
	}
	switch f.Step {
	case executor.StepVersion:
		r.ABI = f.Value
	case executor.StepName:
		r.Name = f.Value
		if reason := protocol.BadPackageName(f.Value); f.Error == "" && reason != "" {
			r.Verdict, r.Reason, r.Name = Refused, fmt.Sprintf("it declares the name %q, which %s", f.Value, reason), ""
		}
	case executor.StepDescribe:
		r.describe(f.Description, f.Error)
	}
}

// describe takes what a package says of itself.
func (r *Report) describe(text []byte, fault string) {
	switch {
	case fault != "":
		r.Silence = brief(fault)
	case len(text) == 0:
		r.Silence = "it does not describe itself"
	default:
		d, err := catalog.ReadDescription(text)
		if err != nil {
			r.Silence = fmt.Sprintf("what it says of itself is no description: %v", err)
			return
		}
		r.Description = d
	}
}

// parseFindings reads what an executor has printed, up to the first line that is none.
func parseFindings(out []byte) (list []executor.Finding) {
	for line := range bytes.Lines(out) {
		var f executor.Finding
		if json.Unmarshal(line, &f) != nil || f.Step == "" {
			break
		}
		list = append(list, f)
	}
	return list
}

// ended says how a subprocess has ended that should have gone on.
func ended(run *throwaway.Result, limit time.Duration) string {
	switch {
	case errors.Is(run.Cut, throwaway.ErrTooMuch):
		return "it wrote without end"
	case run.Cut != nil:
		return fmt.Sprintf("it was killed after %v", limit)
	case run.Status.Signaled():
		return "it crashed by " + throwaway.SignalName(run.Status.Signal()) + said(run)
	}
	return fmt.Sprintf("it exited with status %d%s", run.Status.ExitStatus(), said(run))
}

// said is what a subprocess has printed to stderr, as the end of a sentence.
func said(run *throwaway.Result) string {
	if line := strings.TrimPrefix(run.Reason(), "spider-task-executor: "); line != "" {
		return " (" + line + ")"
	}
	return ""
}

// brief leaves out what every message of a loader begins with.
func brief(message string) string {
	message = strings.TrimPrefix(message, "failed to load TDL package library: ")
	return strings.TrimPrefix(message, "package initialization failed: ")
}

// start has a program describe itself, then load itself as for a first task.
func (r *Report) start(ctx context.Context, o Options) error {
	limited, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	path, err := filepath.Abs(r.Path)
	if err != nil {
		return err
	}
	run, err := throwaway.Run(limited, throwaway.Command{Program: path, Args: []string{"--describe"}, MaxOutput: maxFindings})
	switch {
	case errors.Is(err, fs.ErrPermission):
		r.Verdict, r.Reason = Refused, "it is not executable: chmod +x it"
		return nil
	case err != nil:
		r.Verdict, r.Reason = Refused, fmt.Sprintf("it cannot be started: %v", err)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case run.Cut != nil || run.Status.Signaled():
		r.Silence = ended(&run, o.Timeout) + " while it described itself"
	case run.Status.ExitStatus() == 0:
		r.describe(bytes.TrimSpace(run.Stdout), "")
	default:
		r.Silence = "it does not describe itself" + said(&run)
	}
	r.Name = r.Place
	if run.Cut == nil && run.Status.Exited() && run.Status.ExitStatus() == 1 && r.Build.Spider {
		r.Verdict, r.Reason = Refused, run.Reason()
		return nil
	}
	if r.Description != nil {
		r.ABI, r.Name = r.Description.ABI, cmp.Or(r.Description.Name, r.Place)
	}
	if r.Name == "" {
		r.Reason = "its name is not known: it does not describe itself, and its place does not tell"
		return nil
	}
	if reason := protocol.BadPackageName(r.Name); reason != "" {
		r.Verdict, r.Reason, r.Name = Refused, fmt.Sprintf("it declares the name %q, which %s", r.Name, reason), ""
		return nil
	}
	return r.load(ctx, path, o.Timeout)
}

// load starts the program as an executor.
func (r *Report) load(ctx context.Context, path string, limit time.Duration) error {
	_, err := Load(ctx, pool.ProcessConfig{Executor: path, PackageDir: filepath.Dir(filepath.Dir(path)), Env: os.Environ()}, r.Name, limit)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var (
		answered *pool.ExecutorError
		crash    *pool.CrashError
	)
	switch {
	case err == nil:
		r.Verdict = Loads
	case errors.As(err, &answered) && answered.Err != nil:
		r.Verdict, r.Reason = Refused, answered.Err.Error()
	case answered != nil:
		r.Verdict, r.Reason = Refused, brief(answered.Message)
	case errors.As(err, &crash):
		r.Verdict, r.Reason = Refused, "it ended when it was to load: "+crash.Cause()
	default:
		r.Verdict, r.Reason = Refused, err.Error()
	}
	return nil
}

// noTask is a task that nobody has: the answer to it is that the package is loaded and has
// no such task.
const noTask = "spider inspect: no task"

// Load has a fresh executor load a package, and ends it. The error is pool's, of why it is
// not loaded; limit is for the answer, and took how long that took from the start. It
// returns soon once ctx has ended.
func Load(ctx context.Context, cfg pool.ProcessConfig, name string, limit time.Duration) (took time.Duration, err error) {
	task, err := tdl.NewTaskContext(1, tdl.Index(0), 1, 1)
	if err != nil {
		return 0, err
	}
	encoded, err := task.Encode()
	if err != nil {
		return 0, err
	}
	inputs, err := tdl.EncodeValues()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	p, err := pool.StartProcess(cfg)
	if err != nil {
		return 0, err
	}
	defer p.Close()
	stop := context.AfterFunc(ctx, func() { p.Kill("nobody waits for it") })
	defer stop()
	_, err = p.Execute(pool.Request{Package: name, Task: noTask, Context: encoded, Inputs: inputs}, limit)
	took = time.Since(start)
	var answered *pool.ExecutorError
	if errors.As(err, &answered) && answered.Kind == pool.TaskError {
		err = nil
	}
	return took, err
}
