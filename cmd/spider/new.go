package main

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spider-go/spider/internal/scaffold"
)

type newCommand struct {
	Lang   string `enum:"go,c,rust" default:"go" placeholder:"LANG" help:"What it is written in: go, c or rust. Default: ${default}."`
	Dir    string `placeholder:"DIR" help:"The folder to make. Default: NAME."`
	SDK    string `name:"sdk" placeholder:"DIR" help:"For Go: a clone of Spider to build with. Default: $$SPIDER_SRC, else the clone that this program lies in or was built from."`
	Module string `placeholder:"PATH" help:"For Go: the path of the new module. Default: example.com/NAME; none is made inside a module that is built with Spider already."`

	Name string `arg:"" help:"The package's name: a to z, 0 to 9 and _."`
}

// Help is what spider new --help adds.
func (*newCommand) Help() string {
	return `Writes a package with one task that is of use, its tests and a README: something to
build, run and change. Nothing is overwritten.

Examples:

    spider new textstat
    spider new --lang c --dir src/textstat textstat

Exit status: 0 written; 2 wrong usage, such as a name that is not possible; 125 it could
not be written.`
}

// Run writes the package and says what to do next.
func (c *newCommand) Run(s *streams) error {
	ctx, stop := interruptible()
	defer stop()
	w, err := scaffold.New(ctx, scaffold.Config{
		Name:   c.Name,
		Lang:   scaffold.Language(c.Lang),
		Dir:    cmp.Or(c.Dir, c.Name),
		SDK:    c.SDK,
		Module: c.Module,
	})
	var (
		name     *scaffold.NameError
		occupied *scaffold.OccupiedError
		noSDK    *scaffold.NoSDKError
	)
	switch {
	case errors.As(err, &name), errors.As(err, &occupied), errors.As(err, &noSDK):
		return &usageError{err.Error()}
	case err != nil:
		return causeOf(ctx, err)
	}
	for _, f := range w.Files {
		fmt.Fprintln(s.out, filepath.Join(w.Dir, f))
	}
	test := map[string]string{"go": "go test .", "c": "make test", "rust": "cargo test"}[c.Lang]
	fmt.Fprintf(s.err, "\nNext:\n    cd %s\n", shellWord(w.Dir))
	if w.Workspace != "" {
		fmt.Fprintf(s.err, "    go work use .          # it is below %s, which does not have it\n", w.Workspace)
	}
	fmt.Fprintf(s.err, "    %s\n    spider build\n    spider run %s stats '\"README.md\"'\n", test, c.Name)
	return nil
}

// shellWord quotes text where a shell needs it.
func shellWord(text string) string {
	for _, r := range text {
		if (r|0x20 < 'a' || r|0x20 > 'z') && (r < '0' || r > '9') && r != '/' && r != '.' && r != '_' && r != '-' {
			return shellQuote(text)
		}
	}
	return text
}
