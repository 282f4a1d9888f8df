// Package scaffold writes new packages: a source with one useful task, its tests, and all
// that is needed to build it. cmd/spider calls it for new.
//
// It hides the templates, the rules for names in three languages, and where a Go
// package finds the SDK. It never overwrites a file, and what it could not finish it takes
// away again.
package scaffold
