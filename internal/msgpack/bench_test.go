package msgpack

import (
	"fmt"
	"testing"
)

type benchFlat struct {
	ID    uint64
	Count int32
	Ratio float64
	Done  bool
	Name  string
}

func benchmarks() map[string][2]any {
	paths := make([]string, 100)
	for i := range paths {
		paths[i] = fmt.Sprintf("/mnt/archives/2025/11/%04d/part.zst", i)
	}
	low, mixed, ints := make([]byte, 4<<20), make([]byte, 4<<20), make([]uint64, 1000)
	for i := range mixed {
		low[i], mixed[i] = byte(i%128), byte(i*7)
	}
	for i := range ints {
		ints[i] = uint64(i * i * i)
	}
	return map[string][2]any{
		"struct":          {&benchFlat{1 << 40, -5, 0.25, true, "a name"}, new(benchFlat)},
		"strings100":      {&paths, new([]string)},
		"uint64s1000":     {&ints, new([]uint64)},
		"bytes4MiB-below": {&low, new([]byte)},
		"bytes4MiB-mixed": {&mixed, new([]byte)},
		"enum":            {ptr(variantOf[vecTdlError]("Custom")), new(vecTdlError)},
		"map":             {&map[string]int{"a": 1, "b": 2, "c": 3, "d": 4}, new(map[string]int)},
	}
}

func BenchmarkAppend(b *testing.B) {
	for name, pair := range benchmarks() {
		b.Run(name, func(b *testing.B) {
			out, err := Append(nil, pair[0])
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(out)))
			b.ReportAllocs()
			for b.Loop() {
				out, _ = Append(out[:0], pair[0])
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, pair := range benchmarks() {
		b.Run(name, func(b *testing.B) {
			in, err := Append(nil, pair[0])
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(in, pair[1]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
