package wit_runtime

import "unsafe"

// early serves what is asked for before the Go runtime has started: WASI's adapter, which is called by its start, keeps its
// state in memory that it gets here.
var (
	early [256 << 10]byte
	taken uintptr
	ready bool
)

func init() { ready = true }

// The collector looks at the clock, and while the host passes something in, nothing may be called.
//
//go:wasmimport wasi_snapshot_preview1 adapter_monotonic_clock_set_paused
func pauseClock(paused bool)

//go:wasmexport cabi_realloc
func realloc(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	if old != nil || oldSize != 0 {
		panic("memory that was handed out is not made larger")
	}
	if ready {
		pauseClock(true)
		memory := Allocate(nil, size, align)
		pauseClock(false)
		return memory
	}
	start := uintptr(unsafe.Pointer(&early[0])) + taken
	taken += (align-start%align)%align + size
	if taken > uintptr(len(early)) {
		panic("more memory than expected before the start")
	}
	return unsafe.Pointer(&early[taken-size])
}
