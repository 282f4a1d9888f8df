package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spider-go/spider/internal/inspect"
)

type packagesCommand struct {
	JSON    bool          `help:"Print one JSON object per package."`
	Static  bool          `help:"Run none of the packages' code; the number of tasks is then not known, nor whether they load."`
	Timeout time.Duration `default:"10s" help:"How long each package may take to load, and to describe itself. Default: ${default}."`
	places

	Dir string `arg:"" optional:"" help:"The package directory, instead of --package-dir."`
}

// Help is what spider packages --help adds.
func (*packagesCommand) Help() string {
	return `Lists what the package directory holds, and tries whether it loads. Each package's
code runs in a process of its own that is thrown away; with --static none does.

Examples:

    spider packages
    spider packages --json /srv/packages | jq -r 'select(.problem) | .name'

Exit status: 0 listed, whatever the problems; 2 wrong usage; 125 the directory cannot be
read.`
}

// Validate is called by kong, before Run.
func (c *packagesCommand) Validate() error { return positive(c.Timeout) }

// listed is a package on one line.
type listed struct {
	Name     string    `json:"name"`
	Forms    []string  `json:"forms"` // library, program; what is used comes first
	Language string    `json:"language,omitempty"`
	Tasks    *int      `json:"tasks"` // null: not known
	Size     int64     `json:"size"`  // bytes, of what is used
	Modified time.Time `json:"modified,omitzero"`
	Problem  string    `json:"problem,omitempty"`
}

// Run prints the list.
func (c *packagesCommand) Run(s *streams) error {
	ctx, stop := interruptible()
	defer stop()
	o, dir := c.options(c.Static, c.Timeout)
	dir = cmp.Or(c.Dir, dir)
	packages, err := inspect.Directory(ctx, dir, o)
	if err != nil {
		return causeOf(ctx, err)
	}
	if o.Missing != "" && !c.Static && slices.ContainsFunc(packages, func(p inspect.Package) bool { return p.Library != nil }) {
		fmt.Fprintf(s.err, "spider: libraries are not tried: %s\n", oneLine(o.Missing))
	}
	list := []listed{}
	for i := range packages {
		list = append(list, row(&packages[i]))
	}
	if c.JSON {
		for _, l := range list {
			if err := printJSON(s.out, l); err != nil {
				return err
			}
		}
		return nil
	}
	if len(list) == 0 {
		fmt.Fprintf(s.err, "spider: %s is empty\n", oneLine(dir))
		return nil
	}
	printPackages(s.out, list)
	return nil
}

func row(p *inspect.Package) listed {
	l := listed{Name: p.Name, Forms: []string{}, Problem: p.Trouble()}
	if p.Program != nil {
		l.Forms = append(l.Forms, string(inspect.Program))
	}
	if p.Library != nil {
		l.Forms = append(l.Forms, string(inspect.Library))
	}
	if r := p.Preferred(); r != nil {
		l.Language, l.Size, l.Modified = r.Build.Language, r.Size, r.Modified
		if r.Description != nil {
			n := len(r.Description.Tasks)
			l.Tasks = &n
		}
	}
	return l
}

func printPackages(w io.Writer, list []listed) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tFORM\tLANGUAGE\tTASKS\tSIZE\tCHANGED\tPROBLEM")
	for _, l := range list {
		form, tasks, size, changed := "-", "-", "-", "-"
		switch len(l.Forms) {
		case 1:
			form = l.Forms[0]
		case 2:
			form = "both"
		}
		if l.Tasks != nil {
			tasks = fmt.Sprint(*l.Tasks)
		}
		if !l.Modified.IsZero() {
			size, changed = byteSize(l.Size), l.Modified.Format("2006-01-02 15:04")
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", oneLine(l.Name), form, cmp.Or(l.Language, "-"), tasks, size, changed,
			cmp.Or(abridgeTo(oneLine(l.Problem), 120), "-"))
	}
	_ = t.Flush()
}

// abridgeTo cuts text after n characters.
func abridgeTo(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n]) + "..."
	}
	return text
}
