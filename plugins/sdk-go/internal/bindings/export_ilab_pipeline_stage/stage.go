// Package export_ilab_pipeline_stage is what the generated bindings call.
package export_ilab_pipeline_stage

import (
	abi "github.com/instructlab/ilab-host/plugins/sdk-go/internal/bindings/ilab_pipeline_types"
	"github.com/instructlab/ilab-host/plugins/sdk-go/internal/exports"
	wit "github.com/instructlab/ilab-host/plugins/sdk-go/internal/types"
)

// Stages are those of the component.
func Stages() []abi.Descriptor { return exports.Stages() }

// Render renders one.
func Render(name string, context abi.Context) wit.Result[abi.Plan, abi.Error] {
	return exports.Render(name, context)
}

// Collect collects its outputs.
func Collect(name string, context abi.Context, excerpts []abi.Excerpt) wit.Result[string, abi.Error] {
	return exports.Collect(name, context, excerpts)
}
