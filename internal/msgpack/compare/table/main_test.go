package main

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	const in = `goos: linux
BenchmarkCodecs/encode/a_value/ours-2     100   12.0 ns/op   0 B/op   0 allocs/op
BenchmarkCodecs/encode/a_value/ours-2     100   55.5 ns/op   0 B/op   0 allocs/op
BenchmarkCodecs/encode/a_value/ours-2     100   14.25 ns/op  0 B/op   0 allocs/op
BenchmarkCodecs/decode/a_value/tinylib-2  100   1234 ns/op   8 B/op   1 allocs/op
PASS
`
	const want = `| | value | ns/op ours | ns/op vmihailenco | ns/op tinylib | B/op ours | B/op vmihailenco | B/op tinylib | allocs/op ours | allocs/op vmihailenco | allocs/op tinylib |
|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|
| decode | a value | - | - | 1234 | - | - | 8 | - | - | 1 |
| encode | a value | 14.2 | - | - | 0 | - | - | 0 | - | - |
`
	var out strings.Builder
	if err := table(&out, strings.NewReader(in)); err != nil || out.String() != want {
		t.Errorf("got %v\n%s", err, out.String())
	}
	if err := table(&out, strings.NewReader("FAIL\n")); err == nil {
		t.Error("a table of nothing")
	}
}
