package msgpack

import (
	"strings"
	"unicode"

	"github.com/tinylib/msgp/msgp"
)

// snakeCase turns a Go field name into the name a Rust peer would give it:
// JobID is job_id, HTTPServer http_server, UserIDs user_ids, X1 x1.
func snakeCase(name string) string {
	runes := []rune(name)
	var s strings.Builder
	for i, c := range runes {
		if unicode.IsUpper(c) && i > 0 && runes[i-1] != '_' {
			next := i + 1
			startsWord := next < len(runes) && unicode.IsLower(runes[next]) && !pluralAt(runes, next)
			if !unicode.IsUpper(runes[i-1]) || startsWord {
				s.WriteByte('_')
			}
		}
		s.WriteRune(unicode.ToLower(c))
	}
	return s.String()
}

// pluralAt tells whether runes[i] is the s that ends an acronym, as in URLs.
func pluralAt(runes []rune, i int) bool {
	return runes[i] == 's' && (i+1 == len(runes) || !unicode.IsLower(runes[i+1]))
}

// names are the fields of a struct or the variants of an enum, which a key
// chooses by name or by index.
type names struct {
	list  []string
	index map[string]int
}

func newNames(list []string) names {
	n := names{list: list, index: make(map[string]int, len(list))}
	for i, name := range list {
		n.index[name] = i
	}
	return n
}

// find reads a key. It is the name, as str or bin, or the index, in an unsigned
// form: the Rust side refuses a signed form even of 0. For a key that is neither
// a name nor an index of this list i is -1.
func (n *names) find(b []byte, want string) (i int, rest []byte, err error) {
	var name []byte
	switch formOf(b) {
	case formStr:
		name, rest, err = msgp.ReadStringZC(b)
	case formBin:
		name, rest, err = msgp.ReadBytesZC(b)
	case formInt:
		if b[0] > markUint64 {
			return 0, nil, wrong(b, want)
		}
		at, rest, err := msgp.ReadUint64Bytes(b)
		if err != nil {
			return 0, nil, wrong(b, want)
		}
		if at >= uint64(len(n.list)) {
			return -1, rest, nil
		}
		return int(at), rest, nil
	default:
		return 0, nil, wrong(b, want)
	}
	if err != nil {
		return 0, nil, wrong(b, want)
	}
	i, known := n.index[string(name)]
	if !known {
		i = -1
	}
	return i, rest, nil
}
