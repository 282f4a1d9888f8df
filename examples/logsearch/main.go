// Logsearch is a TDL package with one task, search: a regular-expression search
// over a file, with line numbers.
//
//	spider run logsearch search '"/var/log/syslog"' '"error|fail"' 10
//
// It shows a task with real work, a struct as its result, and errors that say
// what to do. A pattern is matched against each line without its line end. Memory
// is bounded by the longest line: the file is read in blocks, and only the first
// matches are kept.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/spider-go/spider/tdl"
	_ "github.com/spider-go/spider/tdl/cshared"
)

func init() {
	tdl.Register(tdl.Package{
		Name: "logsearch",
		Tasks: []tdl.Task{
			tdl.Func("search", search, tdl.Params("path", "pattern", "limit"),
				tdl.Doc("Searches a file for a regular expression; returns counts and the first limit matches.")),
		},
	})
}

func main() { tdl.Main() }

// Result is what a search found.
type Result struct {
	Lines   uint64  // lines read
	Bytes   uint64  // bytes read
	Matched uint64  // lines that match
	First   []Match // the first of them
}

// Match is one line that matches.
type Match struct {
	Number uint64 // from 1
	Text   string // without its line end; see maxText
}

// maxText is where a line is cut in the answer, in bytes. The whole line is
// searched.
const maxText = 1000

// maxLimit keeps the answer well below the largest response.
const maxLimit = 4000

func search(path, pattern string, limit uint64) (Result, error) {
	if limit > maxLimit {
		return Result{}, tdl.Errorf(tdl.ExecutionError, "limit %d: at most %d matches can be answered (all are counted)", limit, maxLimit)
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return Result{}, tdl.Errorf(tdl.ExecutionError, "pattern: %v", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return Result{}, err
	}
	defer f.Close()
	return scan(f, re, int(limit))
}

func scan(r io.Reader, re *regexp.Regexp, limit int) (Result, error) {
	var (
		result = Result{First: []Match{}}
		lines  = bufio.NewReaderSize(r, 256<<10)
		long   []byte // a line that is longer than the reader's buffer
	)
	for {
		line, err := lines.ReadSlice('\n')
		result.Bytes += uint64(len(line))
		if errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, line...)
			continue
		}
		if err != nil && err != io.EOF {
			return Result{}, err
		}
		if len(long) > 0 {
			long = append(long, line...)
			line = long
		}
		if len(line) > 0 {
			result.Lines++
			line = trimEnd(line)
			if re.Match(line) {
				result.Matched++
				if len(result.First) < limit {
					result.First = append(result.First, Match{Number: result.Lines, Text: text(line)})
				}
			}
		}
		long = long[:0]
		if err == io.EOF {
			return result, nil
		}
	}
}

// trimEnd cuts off the line end, which is LF or CRLF.
func trimEnd(line []byte) []byte {
	line, ended := bytes.CutSuffix(line, []byte("\n"))
	if ended {
		line = bytes.TrimSuffix(line, []byte("\r"))
	}
	return line
}

// text is line as a string that can be answered: not too long, and UTF-8.
func text(line []byte) string {
	cut := ""
	if len(line) > maxText {
		n := maxText
		for n > maxText-utf8.UTFMax && !utf8.RuneStart(line[n]) {
			n-- // not inside a character
		}
		line, cut = line[:n], "..."
	}
	return strings.ToValidUTF8(string(line), "\uFFFD") + cut
}
