package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	return executor, cmp.Or(p.PackageDir, defaultPackageDir), err
}

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
