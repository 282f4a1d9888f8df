package catalog

import "strings"

// longestName bounds the work of Closest, in characters. Longer names have no
// neighbours.
const longestName = 128

// Closest returns the candidate that was probably meant by name, "" if none is close:
// about one slip in three characters, or the same letters in another case or with other
// separators. Among equals the first one counts.
func Closest(name string, candidates []string) string {
	given := []rune(name)
	if len(given) == 0 || len(given) > longestName {
		return ""
	}
	best, least := "", (len(given)+2)/3+1
	for _, candidate := range candidates {
		if candidate == name {
			continue
		}
		if plain(candidate) == plain(name) {
			return candidate
		}
		other := []rune(candidate)
		if len(other) > longestName {
			continue
		}
		// All letters wrong is not close, however few they are.
		if d := distance(given, other); d < least && d < max(len(given), len(other)) {
			best, least = candidate, d
		}
	}
	if best == "" && len(given) >= 3 {
		for _, candidate := range candidates {
			// The beginning of a name, such as fib for fibonacci.
			if candidate != name && strings.HasPrefix(plain(candidate), plain(name)) {
				return candidate
			}
		}
	}
	return best
}

// plain is what a person remembers of a name.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(name))
}

// distance counts the slips between two names: a character too many, too few or wrong,
// or two neighbours exchanged.
func distance(a, b []rune) int {
	// Three rows of the usual table: row i holds the distances of a[:i] to each b[:j].
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			wrong := 1
			if a[i-1] == b[j-1] {
				wrong = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+wrong)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
