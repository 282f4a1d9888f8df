package main

import (
	"errors"
	"strings"
	"testing"
)

func TestNotJSON(t *testing.T) {
	for _, tt := range []struct{ arg, want string }{
		{"hello", `hello is not JSON; a string needs its quotes: '"hello"'`},
		{"two words", `two words is not JSON; a string needs its quotes: '"two words"'`},
		{"don't", `don't is not JSON; a string needs its quotes: '"don'\''t"'`},
		{`a\b`, `a\b is not JSON; a string needs its quotes: '"a\\b"'`},
		{"a<b", `a<b is not JSON; a string needs its quotes: '"a<b"'`},
		{"a\nb", `a\nb is not JSON; a string needs its quotes: '"a\nb"'`},
		{"True", `True is not JSON; a string needs its quotes: '"True"'`},
		{"2024-01-01", `2024-01-01 is not JSON: unexpected '-' after the value (at byte 4); a string needs its quotes: '"2024-01-01"'`},
		{".5", `.5 is not JSON: unexpected '.', where a value should be (at byte 0); a string needs its quotes: '".5"'`},
		{"", `empty text is not JSON; an empty string is '""'`},
		{"  ", `empty text is not JSON; an empty string is '""'`},
		{"--", `-- is not JSON; it is not needed: everything after the task's name is an argument`},
		{"--timeout", `--timeout is not JSON; flags stand before the task's name, and a string needs its quotes: '"--timeout"'`},
		{"-h", `-h is not JSON; flags stand before the task's name, and a string needs its quotes: '"-h"'`},
		{"[1,2", `[1,2 is not JSON: unexpected end, where ',' or ']' should be (at byte 4)`},
		{`{a:1}`, `{a:1} is not JSON: unexpected 'a', where a key should be (at byte 1)`},
		{"1 2", `1 2 is not JSON: unexpected '2' after the value (at byte 2); a string needs its quotes: '"1 2"'`},
		{"18446744073709551616", `18446744073709551616 cannot be sent: the number 18446744073709551616 does not fit a 64-bit integer (at byte 0)`},
	} {
		_, err := encodeArguments([]string{"1", tt.arg})
		var usage *usageError
		if !errors.As(err, &usage) {
			t.Errorf("%q: %v, want a usage error", tt.arg, err)
			continue
		}
		if got, want := oneLine(err.Error()), "argument 2: "+tt.want; got != want {
			t.Errorf("%q:\n got %s\nwant %s", tt.arg, got, want)
		}
	}
}

func TestNotJSONIsBounded(t *testing.T) {
	_, err := encodeArguments([]string{strings.Repeat("ü", 100_000)})
	if err == nil || len(err.Error()) > 1000 {
		t.Errorf("%d bytes of error text", len(err.Error()))
	}
}
