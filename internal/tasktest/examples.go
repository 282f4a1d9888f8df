package tasktest

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
)

// BuildExamplesC makes the example packages that are written in C in dir, the same
// way as [BuildC].
func BuildExamplesC(dir string) error {
	return buildC(dir, "examples/checksum/src", []CPackage{
		{Name: "checksum", Doc: "checksums of files", Source: "checksum.c", Flags: []string{"-O2"}},
	})
}

// BuildRust makes the example package that is written in Rust in dir, by rename.
// It needs cargo and the crates: where they cannot be had it does nothing, and
// skipped says why. Whatever goes wrong after that is an error, with the
// compiler's output.
func BuildRust(dir string) (skipped string, err error) {
	return buildRust(dir, "wordcount", "libwordcount.so", "--lib")
}

// BuildRustReturns is BuildRust for the package returns, which has a task for each kind
// of return type.
func BuildRustReturns(dir string) (skipped string, err error) {
	return buildRust(dir, "returns", "examples/libreturns.so", "--example", "returns")
}

// buildRust makes the package that is this file of a release, once cargo has built what
// target selects.
func buildRust(dir, name, file string, target ...string) (skipped string, err error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	if skipped, err := FetchCrates(); err != nil || skipped != "" {
		return skipped, err
	}
	targets := filepath.Join(root, "build", "cargo")
	args := append([]string{"build", "--release", "--locked", "--offline", "--target-dir", targets}, target...)
	if output, err := cargo(root, args...); err != nil {
		return "", fmt.Errorf("cargo build of examples/wordcount: %w\n%s", err, output)
	}
	return "", install(filepath.Join(targets, "release", file), filepath.Join(dir, name, "lib"+name+".so"))
}

// FetchCrates gets what Rust packages here are built with. Where cargo or the crates
// cannot be had, skipped says why.
func FetchCrates() (skipped string, err error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	if _, err := exec.LookPath("cargo"); err != nil {
		return "there is no cargo on PATH", nil
	}
	if output, err := cargo(root, "fetch", "--locked"); err != nil {
		if bytes.Contains(output, []byte("--locked")) {
			return "", fmt.Errorf("examples/wordcount: Cargo.lock is not that of Cargo.toml: %w\n%s", err, output)
		}
		return fmt.Sprintf("cargo fetch: %v\n%s", err, output), nil
	}
	return "", nil
}

// cargo runs it on the example.
func cargo(root string, args ...string) ([]byte, error) {
	cmd := exec.Command("cargo", args...)
	cmd.Dir = filepath.Join(root, "examples", "wordcount")
	output, err := cmd.CombinedOutput()
	return bytes.TrimSpace(output), err
}
