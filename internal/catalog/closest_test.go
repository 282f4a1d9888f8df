package catalog

import (
	"strings"
	"testing"
)

func TestClosest(t *testing.T) {
	t.Parallel()
	tasks := []string{"fibonacci", "add", "sub", "line_count", "words", "sha256", "crc32", "crc32_bytes", "été"}
	for name, want := range map[string]string{
		"fibonaci":      "fibonacci",
		"fibonaccci":    "fibonacci",
		"fibonnaci":     "fibonacci",
		"Fibonacci":     "fibonacci",
		"fib":           "fibonacci",
		"adds":          "add",
		"dad":           "add", // one exchange
		"ad":            "add",
		"bus":           "",
		"lineCount":     "line_count",
		"line-count":    "line_count",
		"word":          "words",
		"crc":           "crc32",
		"crc32_byte":    "crc32_bytes",
		"sha512":        "",
		"sha265":        "sha256",
		"ete":           "", // two of three
		"étè":           "été",
		"":              "",
		"x":             "",
		"unrelated":     "",
		"fibonacci":     "",
		"\xff\xfe":      "",
		"fibonacci\x00": "fibonacci",
	} {
		if got := Closest(name, tasks); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
	if got := Closest("a", nil); got != "" {
		t.Errorf("of nothing: %q", got)
	}
	long := strings.Repeat("x", 1<<20)
	if got := Closest(long, []string{long + "y"}); got != "" {
		t.Errorf("%d bytes", len(got))
	}
	if got := Closest("xx", []string{long, "xy"}); got != "xy" {
		t.Errorf("beside a long one: %d bytes", len(got))
	}
}
