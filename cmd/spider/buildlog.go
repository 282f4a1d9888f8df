package main

import (
	"bytes"
	"io"
)

// buildLog is where compilers write. A quiet one keeps it, for the case that one fails.
type buildLog struct {
	to    io.Writer
	quiet bool
	kept  bytes.Buffer
}

// maxBuildLog bounds what a quiet log keeps, in bytes: the first of it, where the first
// error stands.
const maxBuildLog = 1 << 20

func (l *buildLog) Write(b []byte) (int, error) {
	if !l.quiet {
		return l.to.Write(b)
	}
	l.kept.Write(b[:min(len(b), max(0, maxBuildLog-l.kept.Len()))])
	return len(b), nil
}

// flush prints what was kept.
func (l *buildLog) flush() {
	_, _ = l.kept.WriteTo(l.to)
}
