package main

import (
	"strings"
	"testing"
)

func TestComplete(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ line, want string }{ // the last word is at the cursor
		{"ru", "run"},
		{"--log-level=w", "--log-level=warn"},
		{"--log-level w", "warn"},
		{"--nothing=", ""},
		{"--nothing run --ti", "--timeout="},
		{"run --", ""}, // below: many
		{"run -- --ti", ""},
		{"run p t --ti", ""},
		{"run p -- --ti", ""},
		{"run -", ""}, // below: many
		{"bench --calls 5 --output-dir ", ":dir"},
		{"run --executor=", ":file"},
		{"run p t ", ""},
		{"version x", ""},
		{"help conf", "configuration config"},
		{"completion b", "bash"},
		{"man ", ":dir"},
		{"nothing ", ""},
		{"__complete ", ""},
		{"= ", ""},
		{"--= ", "run"}, // below: many
	} {
		words := strings.Split(tt.line, " ")
		var got []string
		for _, c := range testGrammar().complete(words[:len(words)-1], words[len(words)-1]) {
			got = append(got, c.word)
		}
		switch text := strings.Join(got, " "); tt.line {
		case "run --", "run -":
			if !strings.HasPrefix(text, "--timeout= ") || !strings.Contains(text, " --help ") || strings.Contains(text, "__complete") {
				t.Errorf("%q: %q", tt.line, text)
			}
		case "--= ":
			if !strings.HasPrefix(text, "run ") || strings.Contains(text, "man") {
				t.Errorf("%q: %q", tt.line, text)
			}
		default:
			if text != tt.want {
				t.Errorf("%q: %q, want %q", tt.line, text, tt.want)
			}
		}
	}
}
