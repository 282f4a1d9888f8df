package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

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

// notJSON says what is wrong with arg and what may have been meant.
func notJSON(arg string, err error) string {
	text := strings.TrimSpace(arg)
	if text == "" {
		return `empty text is not JSON; an empty string is '""'`
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
