package stage

import "fmt"

// Stage is one stage of a pipeline. Render is pure: the same input gives the same output, always. That is what makes dry
// runs, the run record and golden tests work.
type Stage interface {
	// Descriptor says what the stage is and asks for. Constant.
	Descriptor() Descriptor
	// Render gives the objects of the stage, and the predicates that say when they are done. A [ParameterError] tells the
	// user which parameter is at fault.
	Render(ctx *Context) (*Plan, error)
}

// Collector is a stage that turns what its containers printed into outputs by itself. Others get the last line
// `ILAB_OUTPUTS {json}` of each excerpt, together, reduced to the declared outputs. It is pure, too.
type Collector interface {
	Collect(ctx *Context, excerpts []Excerpt) (map[string]any, error)
}

var exported []Stage

// Export makes these the stages of the component. Call it from an init function: a component has no main.
func Export(stages ...Stage) { exported = append(exported, stages...) }

// Exported is what [Export] was given.
func Exported() []Stage { return exported }

// Render renders the exported stage of that name.
func Render(name string, ctx *Context) (*Plan, error) {
	found, err := find(name)
	if err != nil {
		return nil, err
	}
	plan, err := found.Render(ctx)
	if err != nil {
		return nil, err
	}
	return plan, plan.Err()
}

// Collect collects the outputs of the exported stage of that name.
func Collect(name string, ctx *Context, excerpts []Excerpt) (map[string]any, error) {
	found, err := find(name)
	if err != nil {
		return nil, err
	}
	if collector, own := found.(Collector); own {
		return collector.Collect(ctx, excerpts)
	}
	return CollectOutputs(found.Descriptor(), excerpts)
}

func find(name string) (Stage, error) {
	// The host asks for what it was offered; a descriptor is only made to look for one of several.
	if len(exported) == 1 {
		return exported[0], nil
	}
	var names []string
	for _, stage := range exported {
		if stage.Descriptor().Name == name {
			return stage, nil
		}
		names = append(names, stage.Descriptor().Name)
	}
	return nil, fmt.Errorf("there is no stage %q here, only %v", name, names)
}
