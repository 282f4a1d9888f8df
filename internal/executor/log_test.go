package executor

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"
	"time"
)

func TestParseLevel(t *testing.T) {
	t.Parallel()
	for directives, want := range map[string]slog.Level{
		"":                          slog.LevelWarn,
		"trace":                     slog.LevelDebug,
		"debug":                     slog.LevelDebug,
		"info":                      slog.LevelInfo,
		"warn":                      slog.LevelWarn,
		"warning":                   slog.LevelWarn,
		"error":                     slog.LevelError,
		"off":                       levelOff,
		"INFO":                      slog.LevelInfo,
		" Debug ":                   slog.LevelDebug,
		"info,hyper=warn":           slog.LevelInfo,
		"hyper=warn,info":           slog.LevelInfo,
		"hyper=debug":               slog.LevelWarn,
		"info,debug":                slog.LevelDebug,
		"debug,,":                   slog.LevelDebug,
		"spider[span{field=1}]=off": slog.LevelWarn,
		"nonsense":                  slog.LevelWarn,
		"=,=,=":                     slog.LevelWarn,
		"\x00\xff":                  slog.LevelWarn,
		"5":                         slog.LevelWarn,
	} {
		if got := parseLevel(directives); got != want {
			t.Errorf("%q: %v, want %v", directives, got, want)
		}
	}
}

func TestLogVariables(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		spider, rust string
		want         slog.Level // the lowest that is logged
	}{
		{"", "", slog.LevelWarn},
		{"debug", "", slog.LevelDebug},
		{"", "info", slog.LevelInfo},
		{"error", "debug", slog.LevelError},
		{"nonsense", "debug", slog.LevelWarn},
	} {
		log := newLogger(&bytes.Buffer{}, func(name string) string {
			return map[string]string{"SPIDER_LOG": c.spider, "RUST_LOG": c.rust}[name]
		})
		for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
			if got := log.Enabled(t.Context(), level); got != (level >= c.want) {
				t.Errorf("%+v: %v enabled: %v", c, level, got)
			}
		}
	}
}

// One JSON object per line, with the keys that a Rust parent's log has.
func TestLogLine(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	log := newLogger(&b, func(string) string { return "" })
	log.Info("not at the default level")
	log.Warn("two\nlines", slog.Group("group", "msg", 1))

	if n := bytes.Count(b.Bytes(), []byte("\n")); n != 1 {
		t.Fatalf("%d lines: %s", n, &b)
	}
	var line map[string]any
	if err := json.Unmarshal(b.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if line["level"] != "WARN" || line["message"] != "two\nlines" {
		t.Errorf("got %v", line)
	}
	if at, err := time.Parse(time.RFC3339Nano, line["time"].(string)); err != nil || time.Since(at) > time.Hour {
		t.Errorf("time %v: %v", line["time"], err)
	}
	if group, _ := line["group"].(map[string]any); group["msg"] != 1.0 {
		t.Errorf("a key inside a group was renamed: %v", line)
	}
}
