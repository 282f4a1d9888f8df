package bench

import (
	"os"
	"path/filepath"
)

// FileName is the report's name in its output directory.
const FileName = "task_executor_overhead.md"

// EnvOutputDir overrides where reports go.
const EnvOutputDir = "SPIDER_TEST_INSTRUMENT_OUTPUT_DIR"

// OutputDir is where a report goes unless the caller knows better.
func OutputDir() string {
	if dir := os.Getenv(EnvOutputDir); dir != "" {
		return dir
	}
	return filepath.Join("build", "bench")
}

// Write writes the report into dir, which it makes if need be, and returns the
// file's path.
func (r *Report) Write(dir string) (string, error) { return write(dir, FileName, r.Markdown()) }

func write(dir, name, text string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, []byte(text), 0o644)
}
