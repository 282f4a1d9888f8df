package protocol

import (
	"strings"
	"unicode/utf8"
)

// BadPackageName says what keeps name from being a package's, "" if nothing does. A
// package is named like its directory, and must not lead outside the one it is in.
func BadPackageName(name string) string {
	switch {
	case name == "":
		return "is empty"
	case name == "." || name == "..":
		return "is not a name"
	case strings.ContainsRune(name, '/'):
		return "contains a '/'"
	case strings.ContainsRune(name, 0):
		return "contains a NUL byte"
	case !utf8.ValidString(name):
		return "is not UTF-8"
	}
	return ""
}

// PingPackage is a package that does not exist, so that every executor answers a request for
// it with a failure: a parent asks for it to see whether one answers.
const PingPackage = "__spider_ping"
