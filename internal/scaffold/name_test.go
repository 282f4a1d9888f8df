package scaffold

import (
	"strings"
	"testing"
)

func TestBadName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		lang Language
		says string // "" if it is possible
	}{
		{"textstat", Go, ""},
		{"x", C, ""},
		{"a1_b", Rust, ""},
		{"fn", C, ""},
		{strings.Repeat("x", longestName), Go, ""},
		{strings.Repeat("x", longestName+1), Go, "64 at most"},
		{"", Go, "is empty"},
		{"..", Go, "is not a name"},
		{"a/b", Go, "contains a '/'"},
		{"1a", Go, "begins with '1'"},
		{"_a", Go, "begins with '_'"},
		{"-a", Go, "begins with '-'"},
		{"Text", Go, "begins with 'T'"},
		{"textStat", Go, "capital letter 'S'"},
		{"text-stat", Go, "use '_'"},
		{"text stat", Go, "character ' '"},
		{"é", Go, "begins with 'é'"},
		{"a\xff", Go, "not UTF-8"},
		{"{{.Name}}", Go, "begins with '{'"},
		{"x_test", C, "ends in _test"},
		{"func", C, "language Go"},
		{"fn", Rust, "language Rust"},
		{"core", Rust, "language Rust"},
		{"serde", Rust, "name of a crate"},
		{"unicode_ident", Rust, ""},
	} {
		if got := BadName(c.name, c.lang); (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%q in %s: %q, want %q", c.name, c.lang, got, c.says)
		}
	}
}
