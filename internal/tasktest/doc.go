// Package tasktest holds the packages that tests and reports run, in C and Go,
// and the code that builds them and the programs: [Stage] for `make build`,
// [Build] for tests, once per test run. No shipped program links it.
package tasktest
