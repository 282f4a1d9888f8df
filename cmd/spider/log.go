package main

import (
	"log/slog"
	"os"
)

// envExecutorLog is where an executor has its level from.
const envExecutorLog = "SPIDER_LOG"

// logAt sets up s.log for a level of --log-level, in the form that executors log in,
// and has executors log at that level too, unless they are told one.
func (s *streams) logAt(level string) {
	var l slog.Level
	if level == "off" || l.UnmarshalText([]byte(level)) != nil {
		return
	}
	s.log = slog.New(slog.NewJSONHandler(s.err, &slog.HandlerOptions{
		Level: l,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.MessageKey {
				a.Key = "message"
			}
			return a
		},
	}))
	if os.Getenv(envExecutorLog) == "" {
		_ = os.Setenv(envExecutorLog, level)
	}
}
