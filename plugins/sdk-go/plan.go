package stage

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// DefaultExcerptBytes is how much of a container's log Collect gets, unless the plan asks for another amount.
const DefaultExcerptBytes = 256 * 1024

// Plan is what a stage wants done: objects, the targets to wait for, and the logs to read afterwards; built in a chain.
type Plan struct {
	Manifests []json.RawMessage `json:"manifests"`
	Targets   []Target          `json:"targets"`
	Excerpts  []ExcerptSource   `json:"excerpts"`
	err       error
}

// Apply adds an object, to be applied after those before it.
func (p *Plan) Apply(object Object) *Plan {
	if quick, own := object.(quick); own {
		var f fields
		f.object(func() { quick.write(&f) })
		p.Manifests = append(p.Manifests, f.text)
		return p
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(object); err != nil && p.err == nil {
		p.err = fmt.Errorf("%s %s cannot be written: %w", object.Reference().Kind, object.Reference().Name, err)
	}
	p.Manifests = append(p.Manifests, bytes.TrimSpace(text.Bytes()))
	return p
}

// Wait adds something to wait for; see [WaitForJob] and its siblings.
func (p *Plan) Wait(target Target) *Plan {
	p.Targets = append(p.Targets, target)
	return p
}

// Read hands the end of a container's log to Collect.
func (p *Plan) Read(object Object, container string) *Plan {
	p.Excerpts = append(p.Excerpts, ExcerptSource{object.Reference(), container, DefaultExcerptBytes})
	return p
}

// Err is the first object that could not be written.
func (p *Plan) Err() error { return p.err }
