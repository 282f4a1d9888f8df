// Package cshared gives a Go package the C symbols of tdl.h. An author imports it
// blank, beside tdl, in the main package of a library built with
// -buildmode=c-shared. Built without cgo it is empty.
//
// The executor calls the symbols, on its task thread. They hand on to whatever
// tdl.Register has declared. This package hides who owns which memory; it never
// keeps what it was lent, and never lets a meaningless zero-length pointer become
// a Go pointer.
package cshared
