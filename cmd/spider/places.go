package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spider-go/spider/internal/inspect"
	"github.com/spider-go/spider/pool"
)

const (
	executorName      = "spider-task-executor"
	defaultPackageDir = "build/tdl_packages"
)

// places are the flags that say where executor and packages are.
type places struct {
	PackageDir string `placeholder:"DIR" default:"${default_package_dir}" env:"SPIDER_TDL_PACKAGE_DIR" help:"Where the packages are: DIR/NAME/libNAME.so, or a program DIR/NAME/NAME. Default: ${default}."`
	Executor   string `placeholder:"PATH" env:"SPIDER_EXECUTOR" help:"The executor's program. Default: spider-task-executor beside this program, else on $$PATH."`
}

// find fills in what the flags leave open. Without an executor, the directory is
// found all the same.
func (p *places) find() (executor, packageDir string, err error) {
	executor = p.Executor
	if executor == "" {
		executor, err = findExecutor()
	}
	return executor, p.dir(), err
}

// dir is where packages are.
func (p *places) dir() string { return cmp.Or(p.PackageDir, defaultPackageDir) }

// options are those of the flags, and the package directory.
func (p *places) options(static bool, timeout time.Duration) (o inspect.Options, dir string) {
	executor, dir, err := p.find()
	o = inspect.Options{Executor: executor, Static: static, Timeout: timeout}
	if err != nil {
		o.Executor, o.Missing = "", err.Error()
	}
	return o, dir
}

// orMissing is err of a call or a pool; or missing, why there is no executor, if one was
// needed: of a package that is a program, none is.
func orMissing(err, missing error) error {
	var spawn *pool.SpawnError
	if missing != nil && errors.As(err, &spawn) && spawn.Executor == "" {
		return missing
	}
	return err
}

// maxCore is the largest core dump of an executor: none, unless it is asked for; then
// what spider itself may write.
func maxCore() int64 {
	if os.Getenv("SPIDER_CORE_DUMPS") == "on" {
		return -1
	}
	return 0
}

// maxPayload is the largest arguments or results, in bytes, with executors that know shared
// memory: ours. With others it is what fits a frame, 8 MiB.
const maxPayload = 64 << 20

// findExecutor looks beside this program, as both are installed together, then
// on PATH.
func findExecutor() (string, error) {
	beside, err := besideThisProgram()
	if err == nil {
		// Of a path, LookPath checks that it can be executed.
		if path, err := exec.LookPath(beside); err == nil {
			return path, nil
		}
	}
	if path, err := exec.LookPath(executorName); err == nil {
		return path, nil
	}
	return "", &noExecutorError{beside}
}

// besideThisProgram does not say whether there is anything.
func besideThisProgram() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return "", err
	}
	return filepath.Join(filepath.Dir(self), executorName), nil
}

// noExecutorError says where there was no executor.
type noExecutorError struct{ beside string }

func (e *noExecutorError) Error() string {
	places := "on PATH"
	if e.beside != "" {
		places = "at " + e.beside + " or " + places
	}
	return fmt.Sprintf("no executable %s %s; name one with --executor", executorName, places)
}
