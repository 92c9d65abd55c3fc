// Package exports is where the SDK puts what the generated bindings call: they must not import the SDK, which imports them.
package exports

import (
	abi "github.com/instructlab/ilab-host/plugins/sdk-go/internal/bindings/ilab_pipeline_types"
	wit "github.com/instructlab/ilab-host/plugins/sdk-go/internal/types"
)

// What the host calls.
var (
	Stages  func() []abi.Descriptor
	Render  func(name string, context abi.Context) wit.Result[abi.Plan, abi.Error]
	Collect func(name string, context abi.Context, excerpts []abi.Excerpt) wit.Result[string, abi.Error]
)
