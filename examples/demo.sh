#!/bin/sh
# What `make demo` runs: sh examples/demo.sh BUILD_FOLDER
set -eu
build=$1
spider=$build/bin/spider
export SPIDER_TDL_PACKAGE_DIR="$build/tdl_packages"

show() {
	printf '\n$ spider run'
	for word; do
		case $word in
		*[!A-Za-z0-9_./-]*) printf " '%s'" "$word" ;;
		*) printf ' %s' "$word" ;;
		esac
	done
	printf '\n'
	status=0
	"$spider" run "$@" || status=$?
	[ "$status" -eq 0 ] || printf '(exit status %d)\n' "$status"
}

# A real text of at least 50 MB: the sources of Go itself, as often as it takes.
text=$build/demo/go-sources.txt
if [ ! -s "$text" ]; then
	mkdir -p "$build/demo"
	find "$(go env GOROOT)/src" -name '*.go' -type f -exec cat {} + >"$text.part"
	while [ "$(wc -c <"$text.part")" -lt 50000000 ]; do
		cat "$text.part" "$text.part" >"$text.twice"
		mv "$text.twice" "$text.part"
	done
	mv "$text.part" "$text"
fi

echo "A task in a Go package: a number in, a number out."
show integration_test_tasks fibonacci 30

echo
echo "A search over $(wc -c <"$text") bytes of Go's own sources, in a subprocess."
show logsearch search "\"$text\"" '"func \\(.*\\) ServeHTTP\\("' 3

echo
echo "A task that fails says so; the exit status is 1."
show integration_test_tasks always_fail

echo
echo "A native crash costs one subprocess, and shows its true signal (128+11)."
show misbehave segv

echo
echo "A task that never returns ends at its deadline."
show --timeout 200ms misbehave endless_loop

echo
echo "One task over every source file of Go: an input that crashes or hangs costs itself only."
{ find "$(go env GOROOT)/src" -name '*.go' -type f; printf '%s\n' a.crash b.hang; } >"$build/demo/names.txt"
printf '\n$ spider map --timeout 500ms --lines misbehave sum_file <names.txt >sums.jsonl\n'
status=0
"$spider" map --timeout 500ms --lines misbehave sum_file <"$build/demo/names.txt" >"$build/demo/sums.jsonl" || status=$?
printf '(exit status %d)\n\n$ grep -c ok sums.jsonl\n' "$status"
grep -c '"outcome":"ok"' "$build/demo/sums.jsonl"
