// Package wit_runtime gives the generated bindings memory, and the host memory for what it passes in.
//
// A component's instance lives for one call, so nothing is ever given back, and the garbage collector has next to nothing
// to do: it is off until a stage uses as much memory as no plan needs.
package wit_runtime

import (
	"runtime"
	"runtime/debug"
	"unsafe"
)

// The host allows 256 MiB by default.
const collectFrom = 128 << 20

func init() {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(collectFrom)
}

// kept is everything that was handed out; the collector must not take it.
var kept [][]uint64

// Allocate is memory that stays as long as the instance. Whatever the alignment that is asked for, it is at most 8.
func Allocate(_ *runtime.Pinner, size, _ uintptr) unsafe.Pointer {
	if size == 0 {
		return nil
	}
	words := make([]uint64, (size+7)/8)
	kept = append(kept, words)
	return unsafe.Pointer(unsafe.SliceData(words))
}

// Unpin gives back what was passed in, were it not that the instance is at its end.
func Unpin() {}
