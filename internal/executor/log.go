package executor

import (
	"io"
	"log/slog"
	"math"
	"strings"
)

// levelOff is above every level that is ever logged.
const levelOff = slog.Level(math.MaxInt)

// defaultLevel keeps an executor that works silent.
const defaultLevel = slog.LevelWarn

// newLogger writes JSON lines with time, level and message to w. The level is
// SPIDER_LOG's; where that is unset, RUST_LOG's, which a Rust parent passes on.
func newLogger(w io.Writer, getenv func(string) string) *slog.Logger {
	value := getenv("SPIDER_LOG")
	if value == "" {
		value = getenv("RUST_LOG")
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{
		Level: parseLevel(value),
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.MessageKey {
				a.Key = "message"
			}
			return a
		},
	}))
}

// parseLevel takes the bare level out of a list of directives such as
// "info,hyper=warn". A level for one module only, or nonsense, leaves the
// default: a log setting never stops an executor. Of several bare levels the
// last one counts.
func parseLevel(directives string) slog.Level {
	level := defaultLevel
	for directive := range strings.SplitSeq(directives, ",") {
		switch strings.ToLower(strings.TrimSpace(directive)) {
		case "trace", "debug":
			level = slog.LevelDebug
		case "info":
			level = slog.LevelInfo
		case "warn", "warning":
			level = slog.LevelWarn
		case "error":
			level = slog.LevelError
		case "off":
			level = levelOff
		}
	}
	return level
}
