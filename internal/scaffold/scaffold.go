package scaffold

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	text "text/template"
)

// Language is what a package is written in.
type Language string

// The languages that packages can be written in from a template.
const (
	Go   Language = "go"
	C    Language = "c"
	Rust Language = "rust"
)

// Config says what to write.
type Config struct {
	Name string
	Lang Language

	// Dir is the folder to write into; it must be empty, or not be there.
	Dir string

	// SDK is a clone of the SDK's repository, for Go. "": where it can be found, see
	// [FindSDK].
	SDK string

	// Module is the path of the Go module that is made, if one is. "": example.com/NAME.
	Module string
}

// Written says what has been written.
type Written struct {
	Dir   string   // as Config has it
	Files []string // below Dir, in order

	// SDK is the clone that a new Go module is built with, "" if no module was made.
	SDK string

	// Module is the Go module that the package is in, a new one or one around it.
	Module string

	// Workspace is the go.work file around a new module, which does not have it yet; ""
	// if there is none.
	Workspace string
}

// NameError says why a name is not possible.
type NameError struct{ Name, Reason string }

func (e *NameError) Error() string {
	return fmt.Sprintf("the name %q is not possible: it %s", e.Name, e.Reason)
}

// OccupiedError says that something is where a package was to be written.
type OccupiedError struct{ Path, Found string }

func (e *OccupiedError) Error() string {
	return fmt.Sprintf("%s is not empty: it has %s. Nothing is overwritten; choose another folder with --dir", e.Path, e.Found)
}

//go:embed templates
var templates embed.FS

// template is a file of the templates folder, as it is.
func template(path string) []byte {
	b, err := templates.ReadFile("templates/" + path)
	if err != nil {
		panic(err) // it is built in
	}
	return b
}

// file is a file of a new package: its path, in which NAME stands for the name, and its
// template. Those that end in .tmpl are filled in.
type file struct{ path, template string }

var files = map[Language][]file{
	Go: {
		{"main.go", "go/main.go.tmpl"},
		{"main_test.go", "go/main_test.go.tmpl"},
		{"README.md", "go/README.md.tmpl"},
		{".gitignore", "go/gitignore.tmpl"},
	},
	C: {
		{"NAME.c", "c/package.c.tmpl"},
		{"NAME_test.c", "c/package_test.c.tmpl"},
		{"Makefile", "c/Makefile.tmpl"},
		{"README.md", "c/README.md.tmpl"},
		{".gitignore", "c/gitignore.tmpl"},
		{"tdl.h", "c/tdl.h"},
		{"tdl_value.h", "c/tdl_value.h"},
	},
	Rust: {
		{"src/lib.rs", "rust/lib.rs.tmpl"},
		{"src/tdl.rs", "rust/tdl.rs"},
		{"Cargo.toml", "rust/Cargo.toml.tmpl"},
		{"Cargo.lock", "rust/Cargo.lock.tmpl"},
		{"README.md", "rust/README.md.tmpl"},
		{".gitignore", "rust/gitignore.tmpl"},
	},
}

// Headers are the two C headers that packages in C include, by name.
func Headers() map[string][]byte {
	return map[string][]byte{"tdl.h": template("c/tdl.h"), "tdl_value.h": template("c/tdl_value.h")}
}

// New writes a package. The error is a *[NameError], an *[OccupiedError], a *[NoSDKError],
// or that of a file or of the go command; then nothing is left behind.
func New(ctx context.Context, cfg Config) (_ *Written, err error) {
	if reason := BadName(cfg.Name, cfg.Lang); reason != "" {
		return nil, &NameError{cfg.Name, reason}
	}
	list, ok := files[cfg.Lang]
	if !ok {
		return nil, fmt.Errorf("packages in %q have no template", cfg.Lang)
	}
	var module *module
	if cfg.Lang == Go {
		if module, err = plan(cfg); err != nil {
			return nil, err
		}
	}
	if err := vacant(cfg.Dir); err != nil {
		return nil, err
	}
	w := &writer{dir: cfg.Dir}
	defer func() {
		if err != nil {
			w.undo()
		}
	}()
	values := struct{ Name, Title string }{cfg.Name, strings.ToUpper(cfg.Name[:1]) + cfg.Name[1:]}
	for _, f := range list {
		content := template(f.template)
		if strings.HasSuffix(f.template, ".tmpl") {
			if content, err = fill(content, values); err != nil {
				return nil, err
			}
		}
		if err := w.write(strings.ReplaceAll(f.path, "NAME", cfg.Name), content); err != nil {
			return nil, err
		}
	}
	written := &Written{Dir: cfg.Dir}
	if module != nil {
		if err := module.write(ctx, w); err != nil {
			return nil, err
		}
		written.SDK, written.Module, written.Workspace = module.sdk, module.path, module.workspace
	}
	written.Files = w.files
	return written, nil
}

func fill(content []byte, values any) ([]byte, error) {
	t, err := text.New("").Option("missingkey=error").Parse(string(content))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, values); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// vacant says what is in the way of a new folder.
func vacant(dir string) error {
	found, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(found) > 0:
		return &OccupiedError{dir, found[0].Name()}
	}
	return nil
}

// writer writes new files below a folder, and can take them away again.
type writer struct {
	dir     string
	files   []string // in the order they were written
	folders []string // made, absolute or as dir is
}

func (w *writer) write(path string, content []byte) error {
	full := filepath.Join(w.dir, path)
	if err := w.mkdir(filepath.Dir(full)); err != nil {
		return err
	}
	f, err := os.OpenFile(full, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	w.files = append(w.files, path)
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

// mkdir makes a folder and those it is in, and remembers which ones it has made.
func (w *writer) mkdir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := w.mkdir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	w.folders = append(w.folders, dir)
	return nil
}

func (w *writer) undo() {
	for _, f := range w.files {
		_ = os.Remove(filepath.Join(w.dir, f))
	}
	for i := len(w.folders) - 1; i >= 0; i-- {
		_ = os.Remove(w.folders[i]) // not if somebody has put something there
	}
}
