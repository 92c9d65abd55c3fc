// Package stage is the SDK for authors of ilab-host stages in Go.
//
// A stage is a value that describes itself, renders Kubernetes objects from typed structs, and turns what its containers
// printed into outputs. [Export] makes a WebAssembly component of one or several of them; on the author's machine the same
// code is ordinary Go, tested with package testkit.
//
// Everything that a stage is given has been validated by the schemas that it declared, but it is still foreign text: build
// commands as lists of arguments, never as shell scripts.
package stage
