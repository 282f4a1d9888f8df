package pool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spider-go/spider/internal/protocol"
)

// envPackageDir tells an executor where the packages are.
const envPackageDir = "SPIDER_TDL_PACKAGE_DIR"

// program chooses what to start. The error is a *SpawnError.
func (cfg *ProcessConfig) program() (string, error) {
	staged, err := cfg.staged()
	if err == nil {
		return staged, nil
	}
	if cfg.Executor == "" {
		return "", &SpawnError{Err: fmt.Errorf("none is named, and %w", err)}
	}
	if staged != "" && !errors.Is(err, fs.ErrNotExist) {
		// An executor would only miss the library.
		if _, missing := os.Stat(filepath.Join(filepath.Dir(staged), "lib"+cfg.Package+".so")); missing != nil {
			return "", &SpawnError{Executor: staged, Err: err}
		}
	}
	return cfg.Executor, nil
}

// staged is the path of the package that is an executor of its own. The error says
// why there is none, at that path if there is one.
func (cfg *ProcessConfig) staged() (string, error) {
	name := cfg.Package
	if name == "" {
		return "", errors.New("no package is, which could be a program of its own")
	}
	if reason := protocol.BadPackageName(name); reason != "" {
		return "", fmt.Errorf("the package name %q %s", name, reason)
	}
	dir := cfg.packageDir()
	if dir == "" {
		return "", fmt.Errorf("there is no package directory to look for %s in", filepath.Join(name, name))
	}
	// Absolute, so that it is the same file whatever os/exec makes of a path.
	path, err := filepath.Abs(filepath.Join(dir, name, name))
	if err != nil {
		return "", err
	}
	if err := executable(path); err != nil {
		return path, fmt.Errorf("the package %s is no program: %w", name, err)
	}
	return path, nil
}

// packageDir is what the process will find in its environment.
func (cfg *ProcessConfig) packageDir() string {
	if cfg.PackageDir != "" {
		return cfg.PackageDir
	}
	if cfg.Env == nil {
		return os.Getenv(envPackageDir)
	}
	return assigned(cfg.Env, envPackageDir)
}

// assigned is what an environment assigns to a name: the last assignment counts.
func assigned(env []string, name string) (value string) {
	for _, assignment := range env {
		if v, ok := strings.CutPrefix(assignment, name+"="); ok {
			value = v
		}
	}
	return value
}

// executable says what keeps a file from being started, also through a link. What a
// [Pool] takes for a program is the same.
func executable(path string) error {
	file, err := locate(path).stat()
	switch {
	case err != nil:
		return &os.PathError{Op: "stat", Path: path, Err: err}
	case file.program:
		return nil
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return &os.PathError{Op: "start", Path: path, Err: errors.New("not a regular file")}
	}
	return &os.PathError{Op: "start", Path: path, Err: syscall.EACCES}
}
