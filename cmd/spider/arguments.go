package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/tinylib/msgp/msgp"

	"github.com/spider-go/spider/internal/msgpack"
	"github.com/spider-go/spider/internal/wire"
)

// encodeArguments makes a payload sequence of JSON values. The error is a
// *usageError.
func encodeArguments(args []string) ([]byte, error) {
	inputs := wire.AppendHeader(nil, len(args))
	for i, arg := range args {
		value, err := msgpack.FromJSON(nil, []byte(arg))
		if err != nil {
			return nil, &usageError{fmt.Sprintf("argument %d: %s", i+1, notJSON(arg, err))}
		}
		inputs = wire.AppendPayload(inputs, value)
	}
	return inputs, nil
}

// maxArguments bounds what is read of arguments, in bytes. As JSON they take more room than
// in a request: a list of small numbers some twice as much, and white space is free.
const maxArguments = 4 * maxPayload

// argumentsOf makes a payload sequence of a JSON array of arguments in a file, or on
// stdin if path is -. The error is a *usageError.
func argumentsOf(path string, stdin io.Reader) ([]byte, error) {
	name := path
	if path == "-" {
		name = "stdin"
	} else {
		file, err := os.Open(path)
		if err != nil {
			return nil, &usageError{fmt.Sprintf("--args-file: %v", err)}
		}
		defer file.Close()
		stdin = file
	}
	text, err := io.ReadAll(io.LimitReader(stdin, maxArguments+1))
	switch {
	case err != nil:
		return nil, &usageError{fmt.Sprintf("--args-file: cannot read %s: %v", name, err)}
	case len(text) > maxArguments:
		return nil, &usageError{fmt.Sprintf("--args-file: %s has over %d bytes, the limit for arguments as JSON; pass a path instead", name, maxArguments)}
	}
	array, err := msgpack.FromJSON(nil, text)
	if err != nil {
		return nil, &usageError{fmt.Sprintf("--args-file: %s is not JSON%s", name, reason(err))}
	}
	count, rest, err := msgp.ReadArrayHeaderBytes(array)
	if err != nil {
		return nil, &usageError{fmt.Sprintf("--args-file: %s is %s, and not a JSON array of arguments, such as [2, \"a\"]",
			name, abridge(strings.TrimSpace(string(text))))}
	}
	inputs := wire.AppendHeader(nil, int(count))
	for range count {
		next, err := msgpack.Skip(rest)
		if err != nil {
			return nil, err // FromJSON has just written it
		}
		inputs = wire.AppendPayload(inputs, rest[:len(rest)-len(next)])
		rest = next
	}
	return inputs, nil
}

// notJSON says what is wrong with arg and what may have been meant.
func notJSON(arg string, err error) string {
	text := strings.TrimSpace(arg)
	if text == "" {
		return `empty text is not JSON; an empty string is '""'`
	}
	if json.Valid([]byte(text)) {
		return abridge(text) + " cannot be sent" + reason(err)
	}
	is := abridge(text) + " is not JSON"
	why := is + reason(err)
	quote := "a string needs its quotes: " + shellQuote(jsonString(abridge(text)))
	digits := strings.TrimPrefix(text, "-")
	switch first := text[0]; {
	case text == "--":
		return is + "; it is not needed: everything after the task's name is an argument"
	case looksLikeFlag(text):
		return is + "; flags stand before the task's name, and " + quote
	case strings.IndexByte(`{["`, first) >= 0, strings.Trim(digits, "0123456789") == "":
		return why
	case strings.IndexByte("+-.0123456789", first) >= 0:
		return why + "; " + quote
	}
	return is + "; " + quote
}

// reason tells the place only where there is more than one.
func reason(err error) string {
	var syntax *msgpack.JSONError
	if !errors.As(err, &syntax) {
		return ": " + err.Error()
	}
	return fmt.Sprintf(": %s (at byte %d)", syntax.Reason, syntax.Offset)
}

func looksLikeFlag(text string) bool {
	name := strings.TrimPrefix(strings.TrimPrefix(text, "-"), "-")
	return name != text && name != "" && (name[0]|0x20 >= 'a' && name[0]|0x20 <= 'z')
}

// abridge keeps a long argument from flooding the terminal.
func abridge(text string) string {
	const limit = 60 // characters
	if r := []rune(text); len(r) > limit {
		return string(r[:limit]) + "..."
	}
	return text
}

func jsonString(text string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		return `"..."`
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func shellQuote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
