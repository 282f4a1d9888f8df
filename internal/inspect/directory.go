package inspect

import (
	"context"
	"runtime"
	"sync"

	"github.com/spider-go/spider/internal/catalog"
)

// Package is one package of a directory, and what was found out about its files.
type Package struct {
	catalog.Entry

	// Library and Program are the reports on the files it has, else nil.
	Library, Program *Report
}

// Preferred is the report on the form that is used, nil if it has none.
func (p *Package) Preferred() *Report {
	if p.Program != nil {
		return p.Program
	}
	return p.Library
}

// Trouble says what is wrong with the package, "" if nothing is: with the entry, else with
// what is used, else with the other form.
func (p *Package) Trouble() string {
	if p.Entry.Problem != "" {
		return p.Entry.Problem
	}
	preferred := p.Preferred()
	if trouble := preferred.trouble(); trouble != "" || p.Library == preferred {
		return trouble
	}
	if trouble := p.Library.trouble(); trouble != "" {
		return "the library beside the program: " + trouble
	}
	return ""
}

func (r *Report) trouble() string {
	switch {
	case r == nil || r.Verdict == NotTried && r.Misplaced == "":
		return ""
	case r.Verdict == Refused:
		return r.Reason
	}
	return r.Misplaced
}

// Directory finds out about all packages of a directory, as [File] does, several at a
// time. The error is that dir cannot be read, or ctx's own.
func Directory(ctx context.Context, dir string, o Options) ([]Package, error) {
	entries, err := catalog.List(dir)
	if err != nil {
		return nil, err
	}
	packages := make([]Package, len(entries))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i, e := range entries {
		p := &packages[i]
		p.Entry = e
		for _, way := range []struct {
			file *catalog.File
			to   **Report
		}{{e.Library, &p.Library}, {e.Program, &p.Program}} {
			if way.file == nil {
				continue
			}
			wg.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				if ctx.Err() == nil {
					*way.to = look(ctx, way.file.Path, o)
				}
			})
		}
	}
	wg.Wait()
	return packages, ctx.Err()
}

// look is File, with a file that cannot be read as one that is refused.
func look(ctx context.Context, path string, o Options) *Report {
	r, err := File(ctx, path, o)
	if err != nil {
		return &Report{Facts: Facts{Path: path, Form: Other}, Verdict: Refused, Reason: err.Error()}
	}
	return r
}
