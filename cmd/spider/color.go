package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// style colors what is written to one file, or leaves it as it is.
type style struct{ colored bool }

// styleOf is the style for w, where mode is what --color says. That is stronger than
// NO_COLOR, as no-color.org has it, unless it is auto.
func styleOf(mode string, w io.Writer) style {
	switch mode {
	case "always":
		return style{true}
	case "never":
		return style{}
	}
	return style{os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(w)}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func (s style) bold(text string) string { return s.sgr("1", text) }
func (s style) red(text string) string  { return s.sgr("1;31", text) }

// sgr is text between two of the terminal's sequences for colors.
func (s style) sgr(code, text string) string {
	if !s.colored {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
