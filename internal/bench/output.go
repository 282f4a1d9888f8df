package bench

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// The files of a report in its output directory.
const (
	ReportFile   = "report.md"                 // for people, with the charts
	JSONFile     = "report.json"               // every figure; docs/PERFORMANCE.md says what is what
	OverheadFile = "task_executor_overhead.md" // small calls only
	chartNoOp    = "latency-noop.svg"
	chartSeed    = "latency-strings.svg"
	chartSizes   = "payloads.svg"
	chartRates   = "throughput.svg"
)

// EnvOutputDir overrides where reports go.
const EnvOutputDir = "SPIDER_TEST_INSTRUMENT_OUTPUT_DIR"

// OutputDir is where a report goes unless the caller knows better.
func OutputDir() string {
	if dir := os.Getenv(EnvOutputDir); dir != "" {
		return dir
	}
	return filepath.Join("build", "bench")
}

// Write writes the report into dir, which it makes if need be: as Markdown, as JSON,
// and its charts. Of parts that were not measured it leaves what is there. It returns
// the path of the Markdown.
func (r *Report) Write(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	files, err := r.charts()
	if err != nil {
		return "", err
	}
	if files[JSONFile], err = json.MarshalIndent(r, "", "  "); err != nil {
		return "", err
	}
	files[JSONFile] = append(files[JSONFile], '\n')
	files[ReportFile] = []byte(r.Markdown())
	if text := r.OverheadMarkdown(); text != "" {
		files[OverheadFile] = []byte(text)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, ReportFile), nil
}
