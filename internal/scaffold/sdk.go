package scaffold

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
)

// SDKModule is the path of the module that Go packages are built with. Nobody serves it
// yet: it comes from a clone.
const SDKModule = "github.com/spider-go/spider"

// EnvSDK names a clone of the SDK.
const EnvSDK = "SPIDER_SRC"

// NoSDKError says that there is no clone of the SDK.
type NoSDKError struct {
	Given string // that was named and is none, "" if none was
}

func (e *NoSDKError) Error() string {
	if e.Given != "" {
		return fmt.Sprintf("%s is no clone of Spider: it has no go.mod of the module %s", e.Given, SDKModule)
	}
	return fmt.Sprintf("a Go package is built with a clone of Spider, as the module %s is not published, and none was found: name one with --sdk DIR or in $%s", SDKModule, EnvSDK)
}

// FindSDK returns the folder of a clone: the one that is given, else that of $SPIDER_SRC,
// else one around this program, else the one it was built from. The error is a
// *[NoSDKError].
func FindSDK(given string) (string, error) {
	if given == "" {
		given = os.Getenv(EnvSDK)
	}
	if given != "" {
		abs, err := filepath.Abs(given)
		if err != nil {
			return "", err
		}
		if !isSDK(abs) {
			return "", &NoSDKError{given}
		}
		return abs, nil
	}
	var starts []string
	if self, err := os.Executable(); err == nil {
		if self, err = filepath.EvalSymlinks(self); err == nil {
			starts = append(starts, filepath.Dir(self))
		}
	}
	if _, source, _, ok := runtime.Caller(0); ok && filepath.IsAbs(source) {
		starts = append(starts, filepath.Dir(source))
	}
	for _, start := range starts {
		if found := upwards(start, isSDK); found != "" {
			return found, nil
		}
	}
	return "", &NoSDKError{}
}

func isSDK(dir string) bool {
	m := readModule(dir)
	return m != nil && m.Module.Mod.Path == SDKModule
}

// readModule reads the go.mod of a folder; nil if it has none that can be read.
func readModule(dir string) *modfile.File {
	path := filepath.Join(dir, "go.mod")
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	m, err := modfile.Parse(path, b, nil)
	if err != nil || m.Module == nil {
		return nil
	}
	return m
}

// upwards is the first folder from dir to the root that is one, "" if none is.
func upwards(dir string, is func(string) bool) string {
	for {
		if is(dir) {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// module is the Go module that a new package will be in.
type module struct {
	path      string
	sdk       string // the clone that a new one is built with, "" if it is around already
	workspace string
}

// plan finds the module around the new package's folder. If there is none that is built
// with the SDK, there will be a new one, for which a clone is needed.
func plan(cfg Config) (*module, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return nil, fmt.Errorf("there is no go command on PATH, which a Go package is built with: %w", err)
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if around := upwards(dir, func(dir string) bool { return readModule(dir) != nil }); around != "" && cfg.Module == "" && cfg.SDK == "" {
		m := readModule(around)
		if m.Module.Mod.Path == SDKModule || slices.ContainsFunc(m.Require, func(r *modfile.Require) bool { return r.Mod.Path == SDKModule }) {
			return &module{path: m.Module.Mod.Path}, nil
		}
	}
	sdk, err := FindSDK(cfg.SDK)
	if err != nil {
		return nil, err
	}
	m := &module{path: cfg.Module, sdk: sdk}
	if m.path == "" {
		m.path = "example.com/" + cfg.Name
	}
	if found := upwards(dir, hasWorkspace); found != "" && os.Getenv("GOWORK") != "off" {
		m.workspace = filepath.Join(found, "go.work")
	}
	return m, nil
}

func hasWorkspace(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.work"))
	return err == nil
}

// write makes go.mod and go.sum. What the SDK needs is in its own go.sum, and on this
// machine if the SDK was ever built here, so nothing is downloaded then.
func (m *module) write(ctx context.Context, w *writer) error {
	if m.sdk == "" {
		return nil
	}
	sdk := readModule(m.sdk)
	if sdk == nil || sdk.Go == nil {
		return &NoSDKError{m.sdk}
	}
	f := &modfile.File{}
	if err := errors.Join(f.AddModuleStmt(m.path), f.AddGoStmt(sdk.Go.Version), f.AddRequire(SDKModule, "v0.0.0"),
		f.AddReplace(SDKModule, "", m.sdk, "")); err != nil {
		return fmt.Errorf("module %s: %w", m.path, err)
	}
	f.Cleanup()
	text, err := f.Format()
	if err != nil {
		return err
	}
	sums, err := os.ReadFile(filepath.Join(m.sdk, "go.sum"))
	if err != nil {
		return err
	}
	if err := errors.Join(w.write("go.mod", text), w.write("go.sum", sums)); err != nil {
		return err
	}
	tidy := func(env ...string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, "go", "mod", "tidy")
		cmd.Dir = w.dir
		cmd.WaitDelay = time.Second // for what go has started and was killed without
		cmd.Env = append(os.Environ(), append(env, "GOWORK=off", "GOFLAGS=-mod=mod")...)
		out, err := cmd.CombinedOutput()
		return bytes.TrimSpace(out), err
	}
	if _, err := tidy("GOPROXY=off"); err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if out, err := tidy(); err != nil {
		return fmt.Errorf("go mod tidy: %w: %s", err, strings.ReplaceAll(string(out), "\n", "; "))
	}
	return nil
}
