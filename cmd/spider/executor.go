package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const executorName = "spider-task-executor"

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
