// Command clib is the library for C and for every language that can call C:
//
//	go build -buildmode=c-shared -o libmetaopt.so ./clib
//
// metaopt.h is its interface, and docs/c.md explains it. Without cgo this package is an empty program.
package main

func main() {}
