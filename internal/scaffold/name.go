package scaffold

import (
	"bytes"
	"fmt"
	"go/token"
	"slices"
	"strings"

	"github.com/spider-go/spider/internal/protocol"
)

// longestName keeps names readable, and the names of files made of them possible.
const longestName = 64

// rustWords may not be a crate's name: keywords, and the crates that are always there.
var rustWords = strings.Fields(`abstract alloc as async await become box break const continue core crate do dyn else
	enum extern false final fn for gen if impl in let loop macro match mod move mut override priv proc_macro pub
	ref return self static std struct super test trait true try type typeof unsafe unsized use virtual where
	while yield`)

// BadName says what keeps name from being that of a new package in lang, "" if nothing
// does. It is stricter than executors are: the name becomes that of files, of a crate and
// of a module, and is typed by people.
func BadName(name string, lang Language) string {
	if reason := protocol.BadPackageName(name); reason != "" {
		return reason
	}
	if len(name) > longestName {
		return fmt.Sprintf("has %d bytes: %d at most", len(name), longestName)
	}
	for i, r := range name {
		switch {
		case r >= 'a' && r <= 'z', i > 0 && (r >= '0' && r <= '9' || r == '_'):
		case i == 0:
			return fmt.Sprintf("begins with %q: it must begin with a letter from a to z", r)
		case r >= 'A' && r <= 'Z':
			return fmt.Sprintf("has the capital letter %q: only a to z, 0 to 9 and _ are possible", r)
		case r == '-':
			return "has a '-': use '_', since the name becomes part of names in programs"
		default:
			return fmt.Sprintf("has the character %q: only a to z, 0 to 9 and _ are possible", r)
		}
	}
	switch {
	case strings.HasSuffix(name, "_test"):
		return "ends in _test, as files of tests do"
	case token.IsKeyword(name):
		return "is a word of the language Go"
	case lang == Rust && slices.Contains(rustWords, name):
		return "is a word of the language Rust, or one of its own crates"
	case lang == Rust:
		if bytes.Contains(template("rust/Cargo.lock.tmpl"), []byte("\nname = \""+name+"\"\n")) {
			return "is the name of a crate that the package is built with"
		}
	}
	return ""
}
