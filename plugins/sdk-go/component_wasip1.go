package stage

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"

	log "github.com/instructlab/ilab-host/plugins/sdk-go/internal/bindings/ilab_pipeline_host_log"
	abi "github.com/instructlab/ilab-host/plugins/sdk-go/internal/bindings/ilab_pipeline_types"
	"github.com/instructlab/ilab-host/plugins/sdk-go/internal/exports"
	wit "github.com/instructlab/ilab-host/plugins/sdk-go/internal/types"

	// What the host calls.
	_ "github.com/instructlab/ilab-host/plugins/sdk-go/internal/bindings/wit_exports"
)

func init() {
	levels := map[string]log.Level{
		"debug": log.LevelDebug, "info": log.LevelInfo, "warn": log.LevelWarn, "error": log.LevelError,
	}
	sink = func(level, message string) { log.Log(levels[level], message) }
	exports.Stages, exports.Render, exports.Collect = hostStages, hostRender, hostCollect
}

func text(value any) string {
	written, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("a descriptor holds what is no JSON: %v", err))
	}
	return string(written)
}

func optional(text string) wit.Option[string] {
	if text == "" {
		return wit.None[string]()
	}
	return wit.Some(text)
}

func hostStages() []abi.Descriptor {
	defer reportPanics()
	var all []abi.Descriptor
	for _, stage := range exported {
		all = append(all, hostDescriptor(stage.Descriptor()))
	}
	return all
}

func hostDescriptor(d Descriptor) abi.Descriptor {
	made := abi.Descriptor{
		Name: d.Name, Summary: d.Summary, Group: d.Group, After: d.After, Inputs: d.Inputs,
		Licence: optional(d.Licence), Homepage: optional(d.Homepage),
	}
	if d.SelectedBy != nil {
		made.SelectedBy = wit.Some(abi.Selector{Flag: d.SelectedBy.Flag, Value: d.SelectedBy.Value})
	}
	for _, p := range d.Parameters {
		parameter := abi.Parameter{
			Name: p.Name, Help: p.Help, Schema: text(p.Schema), Flag: optional(p.Flag), Env: optional(p.Env),
		}
		if p.Default != nil {
			parameter.Default = wit.Some(text(p.Default))
		}
		made.Parameters = append(made.Parameters, parameter)
	}
	for _, c := range d.Credentials {
		made.Credentials = append(made.Credentials, abi.Credential(c))
	}
	for _, v := range d.Volumes {
		made.Volumes = append(made.Volumes, abi.Volume(v))
	}
	for _, o := range d.Outputs {
		made.Outputs = append(made.Outputs, abi.Output{
			Name: o.Name, Help: o.Help, Schema: text(o.Schema), Sample: text(o.Sample),
			SampleParameter: optional(o.SampleParameter),
		})
	}
	for _, k := range d.Creates {
		made.Creates = append(made.Creates, abi.Kind{ApiVersion: k.APIVersion, Kind: k.Kind})
	}
	return made
}

func ownContext(c abi.Context) (*Context, error) {
	ctx := &Context{
		Run: c.Run, Namespace: c.Namespace, Prefix: c.Prefix,
		Parameters: json.RawMessage(c.Parameters), Volumes: map[string]string{},
	}
	if err := json.Unmarshal([]byte(c.Inputs), &ctx.Inputs); err != nil {
		return nil, fmt.Errorf("the inputs are no JSON object: %w", err)
	}
	for _, bound := range c.Credentials {
		keys := map[string]Holder{}
		for _, key := range bound.Keys {
			if key.Holder.Tag() == abi.KeyHolderSecret {
				keys[key.Key] = Holder{"Secret", key.Holder.Secret()}
			} else {
				keys[key.Key] = Holder{"ConfigMap", key.Holder.ConfigMap()}
			}
		}
		ctx.Credentials = append(ctx.Credentials, BoundCredential{bound.Name, keys})
	}
	for _, volume := range c.Volumes {
		ctx.Volumes[volume.Name] = volume.Claim
	}
	return ctx, nil
}

func hostError(err error) abi.Error {
	var parameter *ParameterError
	if errors.As(err, &parameter) {
		return abi.MakeErrorInvalidParameter(wit.Tuple2[string, string]{F0: parameter.Parameter, F1: parameter.Message})
	}
	return abi.MakeErrorOther(err.Error())
}

func hostReference(o ObjectRef) abi.ObjectRef {
	return abi.ObjectRef{ApiVersion: o.APIVersion, Kind: o.Kind, Name: o.Name}
}

func hostRender(name string, context abi.Context) wit.Result[abi.Plan, abi.Error] {
	defer reportPanics()
	ctx, err := ownContext(context)
	if err != nil {
		return wit.Err[abi.Plan](hostError(err))
	}
	plan, err := Render(name, ctx)
	if err != nil {
		return wit.Err[abi.Plan](hostError(err))
	}
	var made abi.Plan
	for _, manifest := range plan.Manifests {
		made.Manifests = append(made.Manifests, string(manifest))
	}
	for _, t := range plan.Targets {
		target := abi.Target{
			Object: hostReference(t.Object), Succeeded: t.Succeeded, Failed: t.Failed, Reason: optional(t.Reason),
		}
		if t.TimeoutSeconds > 0 {
			target.TimeoutSeconds = wit.Some(t.TimeoutSeconds)
		}
		made.Targets = append(made.Targets, target)
	}
	for _, e := range plan.Excerpts {
		source := abi.ExcerptSource{Object: hostReference(e.Object), Container: e.Container, MaxBytes: e.MaxBytes}
		made.Excerpts = append(made.Excerpts, source)
	}
	return wit.Ok[abi.Plan, abi.Error](made)
}

func hostCollect(name string, context abi.Context, excerpts []abi.Excerpt) wit.Result[string, abi.Error] {
	defer reportPanics()
	ctx, err := ownContext(context)
	if err != nil {
		return wit.Err[string](hostError(err))
	}
	var own []Excerpt
	for _, e := range excerpts {
		own = append(own, Excerpt{ObjectRef{e.Source.ApiVersion, e.Source.Kind, e.Source.Name}, e.Container, e.Text})
	}
	outputs, err := Collect(name, ctx, own)
	if err != nil {
		return wit.Err[string](hostError(err))
	}
	written, err := json.Marshal(outputs)
	if err != nil {
		return wit.Err[string](hostError(fmt.Errorf("the outputs are no JSON: %w", err)))
	}
	return wit.Ok[string, abi.Error](string(written))
}

// The host would otherwise learn only that the component gave up.
func reportPanics() {
	if why := recover(); why != nil {
		LogError(fmt.Sprintf("%v", why))
		LogError(string(debug.Stack()))
		panic(why)
	}
}
