package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spider-go/spider/internal/catalog"
	"github.com/spider-go/spider/internal/inspect"
	"github.com/spider-go/spider/tdl"
)

type inspectCommand struct {
	JSON    bool          `help:"Print one JSON object per file."`
	Static  bool          `help:"Run none of the package's code; what it says of itself is then not known."`
	Timeout time.Duration `default:"10s" help:"How long the package may take to load, and to describe itself. Default: ${default}."`
	places

	Package string `arg:"" help:"A package of the package directory, or the path of a library or program."`
}

// Help is what spider inspect --help adds.
func (*inspectCommand) Help() string {
	return `Says what a package is: how it was built, the tasks it has, the libraries it needs,
and whether the executor loads it, or why not. Its code runs, in a process of its own
that is thrown away; with --static none does.

A path is taken where there is a slash in it, or where no package has the name. The
file may be called anything, and lie anywhere: where it would have to lie is said. A
program is started only if it is built with the Go SDK, or lies as NAME/NAME.

Examples:

    spider inspect logsearch
    spider inspect ./target/release/libwordcount.so
    spider inspect --json logsearch | jq .description.tasks

Exit status: 0 the executor takes it; 1 it does not; 2 wrong usage; 125 that could not be
found out: there is no such package, or no executor.`
}

// Validate is called by kong, before Run.
func (c *inspectCommand) Validate() error { return positive(c.Timeout) }

func positive(timeout time.Duration) error {
	if timeout <= 0 {
		return fmt.Errorf("--timeout %v is not positive", timeout)
	}
	return nil
}

// Run prints what there is to say of each file of the package.
func (c *inspectCommand) Run(s *streams) error {
	ctx, stop := interruptible()
	defer stop()
	o, dir := c.options(c.Static, c.Timeout)
	files, named, problem, err := target(dir, c.Package)
	if err != nil {
		return err
	}
	var refused error
	for i, path := range files {
		r, err := inspect.File(ctx, path, o)
		if err != nil {
			return causeOf(ctx, err)
		}
		switch {
		case c.JSON:
			err = printJSON(s.out, struct {
				*inspect.Report
				Usable bool `json:"usable"`
			}{r, r.Usable()})
		case i > 0:
			fmt.Fprintln(s.out)
			fallthrough
		default:
			printReport(s.out, r, i > 0)
		}
		if err != nil {
			return err
		}
		switch {
		case refused != nil:
		case r.Verdict == inspect.Refused, named && r.Misplaced != "":
			refused = &noError{fmt.Sprintf("%s cannot be used: %s", path, cmp.Or(r.Reason, r.Misplaced))}
		case r.Verdict == inspect.NotTried && !c.Static:
			refused = fmt.Errorf("%s was not tried: %s", path, r.Reason)
		}
	}
	if problem != "" && refused == nil {
		fmt.Fprintln(s.err, "spider:", oneLine(problem))
	}
	return refused
}

// target finds the files that are meant by what was typed; named tells that it was a
// package's name. The program comes first where there are both, as it is preferred.
func target(dir, arg string) (files []string, named bool, problem string, err error) {
	if strings.Contains(arg, "/") {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, false, "", err
		}
		if !info.IsDir() {
			return []string{arg}, false, "", nil
		}
		// A package's folder.
		abs, err := filepath.Abs(arg)
		if err != nil {
			return nil, false, "", err
		}
		dir, arg = filepath.Dir(abs), filepath.Base(abs)
	}
	e := catalog.Look(dir, arg)
	if !e.Usable() {
		if info, err := os.Stat(arg); err == nil && info.Mode().IsRegular() {
			return []string{arg}, false, "", nil
		}
		return nil, false, "", &noPackageError{dir, arg, e.Problem, meant(dir, arg)}
	}
	if e.Program != nil {
		files = append(files, e.Program.Path)
	}
	if e.Library != nil {
		files = append(files, e.Library.Path)
	}
	return files, true, e.Problem, nil
}

// meant is the package of the directory that is called almost like name, or "".
func meant(dir, name string) string {
	entries, err := catalog.List(dir)
	if err != nil {
		return ""
	}
	var names []string
	for _, e := range entries {
		if e.Usable() {
			names = append(names, e.Name)
		}
	}
	return catalog.Closest(name, names)
}

// noPackageError says that a package is not there to be looked at.
type noPackageError struct{ dir, name, problem, meant string }

func (e *noPackageError) Error() string {
	text := fmt.Sprintf("no package %s in %s: %s", e.name, e.dir, e.problem)
	if e.meant != "" {
		text += fmt.Sprintf("; did you mean %s?", e.meant)
	}
	return text
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printReport prints a report for people. A package's words are made harmless. A second
// report of the same package has no tasks.
func printReport(w io.Writer, r *inspect.Report, second bool) {
	line := func(label, format string, args ...any) {
		if text := oneLine(fmt.Sprintf(format, args...)); text != "" {
			fmt.Fprintf(w, "%-9s%s\n", label, text)
		}
	}
	line("package", "%s", cmp.Or(r.Name, r.Place, "(its name is not known)"))
	line("file", "%s", r.Path)
	line("form", "%s, %s, changed %s", r.Form, byteSize(r.Size), r.Modified.Format(time.DateTime))
	line("verdict", "%s", verdict(r))
	line("place", "%s", r.Misplaced)
	line("built", "%s", built(r))
	line("ABI", "%s", r.ABI)
	line("exports", "%s", exported(r))
	line("needs", "%s", needed(r))
	if second {
		return
	}
	if r.Description == nil && r.Silence == r.Reason {
		return
	}
	if r.Description == nil {
		line("tasks", "not known: %s", r.Silence)
		return
	}
	fmt.Fprintf(w, "\ntasks (%d)\n", len(r.Description.Tasks))
	for _, t := range r.Description.Tasks {
		fmt.Fprintf(w, "  %s\n", oneLine(signature(t)))
		if t.Doc != "" {
			fmt.Fprintf(w, "      %s\n", oneLine(t.Doc))
		}
	}
	if len(r.Description.Types) == 0 {
		return
	}
	fmt.Fprintf(w, "\ntypes (%d)\n", len(r.Description.Types))
	for _, name := range slices.Sorted(maps.Keys(r.Description.Types)) {
		fmt.Fprintf(w, "  %s\n", oneLine(name+": "+definition(r.Description.Types[name])))
	}
}

func verdict(r *inspect.Report) string {
	switch {
	case r.Verdict == inspect.Loads && r.Form == inspect.Program:
		return "it starts, and loads"
	case r.Verdict == inspect.Loads:
		return "the executor loads it"
	}
	return fmt.Sprintf("%s: %s", r.Verdict, r.Reason)
}

func built(r *inspect.Report) string {
	b := r.Build
	parts := []string{cmp.Or(b.Language, "language not known")}
	if b.Compiler != "" {
		parts = append(parts, b.Compiler)
	}
	if b.Module != "" {
		parts = append(parts, strings.TrimSpace("module "+b.Module+" "+b.Version))
	}
	if b.Revision != "" {
		revision := "revision " + b.Revision
		if b.Modified {
			revision += " with changes"
		}
		parts = append(parts, revision)
	}
	if r.Machine != "" {
		machine := "for " + r.Machine
		if r.Foreign {
			machine += ", which is not this machine"
		}
		parts = append(parts, machine)
	}
	if r.Form == inspect.Other {
		return ""
	}
	return strings.Join(parts, ", ")
}

func exported(r *inspect.Report) string {
	if r.Form != inspect.Library {
		return ""
	}
	var present, missing []string
	for _, x := range r.Exports {
		short := strings.TrimPrefix(x.Symbol, "__spider_tdl_package_")
		switch {
		case x.Present:
			present = append(present, short)
		case x.Required:
			missing = append(missing, x.Symbol)
		}
	}
	text := strings.Join(present, ", ")
	if r.Exports == nil {
		return "not known: the file has no symbols"
	}
	if len(missing) > 0 {
		if text != "" {
			text += "; "
		}
		text += "it lacks " + strings.Join(missing, ", ")
	}
	return text
}

func needed(r *inspect.Report) string {
	var direct, missing []string
	for _, n := range r.Needs {
		if n.By == "" {
			direct = append(direct, n.Name)
		}
		if n.Path == "" {
			name := n.Name
			if n.By != "" {
				name += " (for " + n.By + ")"
			}
			missing = append(missing, name)
		}
	}
	text := strings.Join(direct, ", ")
	if len(missing) > 0 {
		text += "; not on this machine: " + strings.Join(missing, ", ")
	}
	return text
}

// signature is a task on one line: words(text: string) -> int64.
func signature(t tdl.TaskDescription) string {
	text := t.Name + "(" + list(t.Params) + ")"
	switch {
	case len(t.Results) == 1 && t.Results[0].Name == "":
		text += " -> " + list(t.Results)
	case len(t.Results) > 0:
		text += " -> (" + list(t.Results) + ")"
	}
	return text
}

func list(members []tdl.TypeMember) string {
	var parts []string
	for _, m := range members {
		switch {
		case m.Name == "":
			parts = append(parts, cmp.Or(m.Type, "?"))
		case m.Type == "":
			parts = append(parts, m.Name)
		default:
			parts = append(parts, m.Name+": "+m.Type)
		}
	}
	return strings.Join(parts, ", ")
}

func definition(d tdl.TypeDefinition) string {
	members := d.Fields
	if d.Kind == "enum" {
		members = d.Variants
	}
	if len(members) == 0 {
		return d.Kind
	}
	return fmt.Sprintf("%s{%s}", d.Kind, list(members))
}
