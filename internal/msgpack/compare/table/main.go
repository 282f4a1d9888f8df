// Command table turns the output of this module's benchmarks, on stdin, into a
// Markdown table: for each value the medians of every codec side by side.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

func main() {
	if err := table(os.Stdout, os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

// columns are the codecs, by the last part of a benchmark's name.
var columns = []string{"ours", "vmihailenco", "tinylib"}

// units are the measures, in the order of the table.
var units = []string{"ns/op", "B/op", "allocs/op"}

// key is a cell of the table.
type key struct{ row, codec, unit string }

func table(w io.Writer, r io.Reader) error {
	var rows []string
	cells := map[key][]float64{}
	in := bufio.NewScanner(r)
	for in.Scan() {
		words := strings.Fields(in.Text())
		if len(words) == 0 || !strings.HasPrefix(words[0], "Benchmark") {
			continue
		}
		parts := strings.Split(words[0], "/") // Benchmark, direction, value, codec-procs
		if len(parts) != 4 {
			continue
		}
		row := parts[1] + " | " + strings.ReplaceAll(parts[2], "_", " ")
		codec, _, _ := strings.Cut(parts[3], "-")
		if !slices.Contains(rows, row) {
			rows = append(rows, row)
		}
		for i := 3; i < len(words); i += 2 {
			x, err := strconv.ParseFloat(words[i-1], 64)
			if err != nil {
				return fmt.Errorf("%q: %w", in.Text(), err)
			}
			k := key{row, codec, words[i]}
			cells[k] = append(cells[k], x)
		}
	}
	if err := in.Err(); err != nil {
		return err
	}
	if len(rows) == 0 {
		return fmt.Errorf("no benchmarks on stdin")
	}
	slices.Sort(rows) // decode, then encode

	heads, rules := "| | value |", "|---|---|"
	for _, unit := range units {
		for _, codec := range columns {
			heads += " " + unit + " " + codec + " |"
			rules += "--:|"
		}
	}
	fmt.Fprintln(w, heads)
	fmt.Fprintln(w, rules)
	for _, row := range rows {
		fmt.Fprintf(w, "| %s |", row)
		for _, unit := range units {
			for _, codec := range columns {
				fmt.Fprintf(w, " %s |", median(cells[key{row, codec, unit}]))
			}
		}
		fmt.Fprintln(w)
	}
	return nil
}

// median is in digits as the benchmarks print it, or - if nothing was measured.
func median(list []float64) string {
	if len(list) == 0 {
		return "-"
	}
	slices.Sort(list)
	m := list[len(list)/2]
	if m < 100 && m != float64(int64(m)) {
		return strconv.FormatFloat(m, 'f', 1, 64)
	}
	return strconv.FormatFloat(m, 'f', 0, 64)
}
