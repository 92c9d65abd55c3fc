package stage

import (
	"fmt"
	"os"
)

// In a component, the host's log.
var sink = func(level, message string) { fmt.Fprintf(os.Stderr, "%s: %s\n", level, message) }

// Debug says something to whoever looks for a defect. Like its siblings it is bounded: the host drops what is too much.
func Debug(message string) { sink("debug", message) }

// Info says something worth knowing.
func Info(message string) { sink("info", message) }

// Warn says that something is probably not what the user wants.
func Warn(message string) { sink("warn", message) }

// LogError says that something went wrong.
func LogError(message string) { sink("error", message) }
