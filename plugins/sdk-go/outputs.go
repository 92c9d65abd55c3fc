package stage

import (
	"encoding/json"
	"fmt"
	"strings"
)

const marker = "ILAB_OUTPUTS "

// OutputsFromLog is the object in the last line that begins with `ILAB_OUTPUTS `: the last one, because a container that was
// restarted, or a library that is talkative, may have printed earlier ones.
func OutputsFromLog(text string) (map[string]json.RawMessage, error) {
	lines := strings.Split(text, "\n")
	for at := len(lines) - 1; at >= 0; at-- {
		line, found := strings.CutPrefix(lines[at], marker)
		if !found {
			continue
		}
		var outputs map[string]json.RawMessage
		if err := json.Unmarshal([]byte(strings.TrimSpace(line)), &outputs); err != nil || outputs == nil {
			return nil, fmt.Errorf("the ILAB_OUTPUTS line of the log is no JSON object: %v", err)
		}
		return outputs, nil
	}
	return nil, fmt.Errorf("the log has no line that begins with ILAB_OUTPUTS")
}

// CollectOutputs is the declared outputs out of what the excerpts say together; a later excerpt wins.
func CollectOutputs(descriptor Descriptor, excerpts []Excerpt) (map[string]any, error) {
	said := map[string]json.RawMessage{}
	for _, excerpt := range excerpts {
		values, err := OutputsFromLog(excerpt.Text)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", excerpt.Source.Name, excerpt.Container, err)
		}
		for name, value := range values {
			said[name] = value
		}
	}
	outputs := map[string]any{}
	for _, output := range descriptor.Outputs {
		value, there := said[output.Name]
		if !there {
			return nil, fmt.Errorf("the containers printed no value for the output %s", output.Name)
		}
		outputs[output.Name] = value
	}
	return outputs, nil
}
