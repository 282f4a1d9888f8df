package catalog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spider-go/spider/internal/protocol"
)

// Entry is one package of a directory, or what stands where one should be.
type Entry struct {
	Name string

	// Library and Program are the two forms a package may have, nil where it has not.
	// Where it has both, the program is preferred by all that start executors.
	Library, Program *File

	// Problem says what is wrong and what to do, "" if nothing is. A package with a
	// Library or Program may have one too; without, there always is one.
	Problem string

	missing bool // there is nothing by this name
}

// Usable reports whether there is anything to load or start.
func (e *Entry) Usable() bool { return e.Library != nil || e.Program != nil }

// File is a file as it was when it was looked at.
type File struct {
	Path     string
	Size     int64 // bytes
	Modified time.Time
}

// LibraryPath is where dir has the package's library.
func LibraryPath(dir, name string) string { return filepath.Join(dir, name, "lib"+name+".so") }

// ProgramPath is where dir has the package's program.
func ProgramPath(dir, name string) string { return filepath.Join(dir, name, name) }

// List returns what dir holds, by name. Names that begin with a dot are left out: they
// are nobody's packages, but files that are being put in place. The error is that
// dir itself cannot be read.
func List(dir string) ([]Entry, error) {
	found, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	entries := []Entry{}
	for _, f := range found {
		if !strings.HasPrefix(f.Name(), ".") {
			entries = append(entries, Look(dir, f.Name()))
		}
	}
	return entries, nil
}

// Look returns what dir has under one name.
func Look(dir, name string) Entry {
	e := Entry{Name: name}
	if reason := protocol.BadPackageName(name); reason != "" {
		e.Problem, e.missing = fmt.Sprintf("the name %q %s", name, reason), true
		return e
	}
	info, err := os.Stat(filepath.Join(dir, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if e.Problem = dangling(filepath.Join(dir, name)); e.Problem != "" {
			return e
		}
		e.Problem, e.missing = fmt.Sprintf("there is no %s", filepath.Join(dir, name)), true
		return e
	case err != nil:
		e.Problem = err.Error()
		return e
	case !info.IsDir():
		e.Problem = fmt.Sprintf("not a directory: a package is %s or the program %s", LibraryPath("", name), ProgramPath("", name))
		return e
	}
	var library, program string
	e.Library, library = look(LibraryPath(dir, name))
	e.Program, program = look(ProgramPath(dir, name))
	if e.Program != nil {
		// LookPath of a path says whether this process may start it.
		if _, err := exec.LookPath(e.Program.Path); err != nil {
			e.Program, program = nil, e.Program.Path+" is not executable: chmod +x it, or remove it"
		}
	}
	switch {
	case library != "":
		e.Problem = library
	case program != "":
		e.Problem = program
	case !e.Usable():
		e.Problem = nothing(dir, name)
	}
	return e
}

// look returns the file at path, or what is wrong with it; neither if there is none.
func look(path string) (*File, string) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, dangling(path)
	}
	switch {
	case err != nil:
		return nil, err.Error()
	case !info.Mode().IsRegular():
		return nil, path + " is not a regular file"
	case info.Size() == 0:
		return nil, path + " is empty"
	}
	return &File{Path: path, Size: info.Size(), Modified: info.ModTime()}, ""
}

// dangling says that path, where no file was found, is a link; else "".
func dangling(path string) string {
	link, err := os.Readlink(path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s is a link to %s, which does not exist", path, link)
}

// nothing says that a directory holds no package, and what it holds that may have been
// meant as one.
func nothing(dir, name string) string {
	files, err := os.ReadDir(filepath.Join(dir, name))
	if err != nil {
		return err.Error()
	}
	if len(files) == 0 {
		return fmt.Sprintf("the directory is empty: it should hold lib%s.so or the program %[1]s", name)
	}
	for _, f := range files {
		if other := f.Name(); strings.HasSuffix(other, ".so") {
			return fmt.Sprintf("there is %s, but it must be called lib%s.so, like its directory", other, name)
		}
	}
	return fmt.Sprintf("the directory holds neither lib%s.so nor a program %[1]s", name)
}
