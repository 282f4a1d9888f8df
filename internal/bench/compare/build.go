package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spider-go/spider/internal/bench/workload"
)

const workerDir = "internal/bench/compare/worker"

// builder makes sides below dir. It runs in the module's root.
type builder struct {
	root string // this tree, whose worker and C package both sides get
	dir  string // temporary
}

// build makes a side of a revision, or of this tree as it is if that is "". What is
// not ours to change is left alone: a revision is exported, the tree built in place.
func (b *builder) build(ctx context.Context, name, revision string) (*side, error) {
	tree := b.root
	label := "the working tree"
	if revision != "" {
		tree = filepath.Join(b.dir, name, "tree")
		label = revision
		if commit, err := b.output(ctx, "git", "rev-parse", "--verify", "--quiet", "--short", revision+"^{commit}"); err != nil {
			return nil, fmt.Errorf("there is no revision %q here", revision)
		} else if !strings.HasPrefix(revision, commit) {
			label += " (" + commit + ")"
		}
		if err := b.export(ctx, revision, tree); err != nil {
			return nil, fmt.Errorf("export %s: %w", label, err)
		}
	}
	s := &side{
		name:       name + ", " + label,
		worker:     filepath.Join(b.dir, name, "worker"),
		executor:   filepath.Join(b.dir, name, "spider-task-executor"),
		packageDir: filepath.Join(b.dir, name, "packages"),
	}
	if err := b.buildWorker(ctx, tree, s.worker); err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	library := filepath.Join(s.packageDir, workload.Package, "lib"+workload.Package+".so")
	if err := errors.Join(
		b.goBuild(ctx, tree, s.executor, "./cmd/spider-task-executor"),
		b.goBuild(ctx, tree, library, "./internal/tasktest/packages/"+workload.Package, "-buildmode=c-shared"),
		b.buildEcho(ctx, filepath.Join(s.packageDir, workload.EchoPackage)),
	); err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	return s, nil
}

func (b *builder) export(ctx context.Context, revision, tree string) error {
	if err := os.MkdirAll(tree, 0o755); err != nil {
		return err
	}
	archive := tree + ".tar"
	if _, err := b.output(ctx, "git", "archive", "--format=tar", "-o", archive, revision); err != nil {
		return err
	}
	_, err := b.output(ctx, "tar", "-x", "-f", archive, "-C", tree)
	return err
}

// buildWorker builds this tree's worker against the package pool of another. Where
// that does not compile, the other's own serves, if it has one.
func (b *builder) buildWorker(ctx context.Context, tree, target string) error {
	if tree == b.root {
		return b.goBuild(ctx, tree, target, "./"+workerDir)
	}
	theirs := filepath.Join(tree, workerDir)
	own, err := os.ReadDir(theirs)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	const ours = "internal/bench/compare/worker_of_new"
	if err := os.CopyFS(filepath.Join(tree, ours), os.DirFS(filepath.Join(b.root, workerDir))); err != nil {
		return err
	}
	failed := b.goBuild(ctx, tree, target, "./"+ours)
	if failed == nil {
		return nil
	}
	if len(own) > 0 && b.goBuild(ctx, tree, target, "./"+workerDir) == nil {
		return nil
	}
	return fmt.Errorf("its package pool is too different to be measured: %w", failed)
}

func (b *builder) goBuild(ctx context.Context, tree, target, source string, flags ...string) error {
	// With -trimpath the same source gives the same program wherever it lies, and
	// what was built once is found again.
	args := slices.Concat([]string{"build", "-trimpath", "-buildvcs=false", "-o", target}, flags, []string{source})
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = tree
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=1", "GOWORK=off")
	return run(cmd)
}

// buildEcho builds the package in C, which is nothing of the product's.
func (b *builder) buildEcho(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	cc := strings.Fields(os.Getenv("CC"))
	if len(cc) == 0 {
		cc = []string{"cc"}
	}
	args := append(cc[1:], "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-fPIC", "-shared",
		"-I"+filepath.Join(b.root, "tdl", "cshared"),
		"-o", filepath.Join(dir, "lib"+workload.EchoPackage+".so"),
		filepath.Join(b.root, "internal", "tasktest", "testdata", "c", workload.EchoPackage+".c"))
	return run(exec.CommandContext(ctx, cc[0], args...))
}

func (b *builder) output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = b.root
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}

func run(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}

// moduleRoot is the folder with go.mod, upwards from where this runs.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		err = errors.New("there is no go.mod here or above: run it in the source tree")
	}
	return "", err
}
