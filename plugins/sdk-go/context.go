package stage

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Context is what a stage is rendered for.
type Context struct {
	Run       string
	Namespace string
	Prefix    string
	// Parameters is a JSON object with every parameter.
	Parameters json.RawMessage
	// Inputs has the known outputs of other stages, by `stage.output`.
	Inputs      map[string]json.RawMessage
	Credentials []BoundCredential
	// Volumes has the claim of each declared volume.
	Volumes map[string]string
}

// Name is the name for the stage's main object.
func (c *Context) Name() string { return c.Prefix }

// NameWith is the name for a further object.
func (c *Context) NameWith(suffix string) string { return c.Prefix + "-" + suffix }

// Into reads the parameters into a struct of the stage's own (`json:"kebab-case"`); several structs may each take their part.
func (c *Context) Into(settings any) error {
	if err := json.Unmarshal(c.Parameters, settings); err != nil {
		return fmt.Errorf("the parameters do not fit: %w", err)
	}
	return nil
}

// Input reads an output of another stage, as `stage.output`; false when it is not known.
func (c *Context) Input(name string, into any) (bool, error) {
	text, known := c.Inputs[name]
	if !known {
		return false, nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return false, fmt.Errorf("input %s does not fit: %w", name, err)
	}
	return true, nil
}

// PathInput is an input without which the stage cannot do: the absolute path of something below root. It came from another
// stage's log, so it is checked like any foreign text.
func (c *Context) PathInput(name, root string) (string, error) {
	text, known := c.Inputs[name]
	if !known {
		producer, _, _ := strings.Cut(name, ".")
		return "", fmt.Errorf("input %s is not known: run %s first", name, producer)
	}
	var path string
	if err := json.Unmarshal(text, &path); err != nil {
		return "", fmt.Errorf("input %s is no text", name)
	}
	if problem := PathProblem(path, root); problem != "" {
		return "", fmt.Errorf("input %s (%q) %s", name, path, problem)
	}
	return path, nil
}

// Claim is the claim that stands for a declared volume.
func (c *Context) Claim(volume string) (string, error) {
	claim, bound := c.Volumes[volume]
	if !bound {
		return "", fmt.Errorf("volume %s is not bound to a claim", volume)
	}
	return claim, nil
}

// KeyVariable is an environment variable that reads a credential's key.
type KeyVariable struct {
	Variable string
	Key      string
	// Optional ones are left out when they are not bound.
	Optional bool
}

// CredentialEnv is the environment variables that read a credential's keys.
func (c *Context) CredentialEnv(name string, keys ...KeyVariable) ([]EnvVar, error) {
	for _, bound := range c.Credentials {
		if bound.Name != name {
			continue
		}
		var variables []EnvVar
		for _, wanted := range keys {
			holder, there := bound.Keys[wanted.Key]
			switch {
			case there:
				variables = append(variables, EnvVar{Name: wanted.Variable, ValueFrom: holder.source(wanted.Key)})
			case !wanted.Optional:
				return nil, fmt.Errorf("credential %s has no key %s", name, wanted.Key)
			}
		}
		return variables, nil
	}
	return nil, fmt.Errorf("credential %s is not bound", name)
}

func (h Holder) source(key string) *EnvSource {
	selector := &KeySelector{Key: key, Name: h.Name}
	if h.Kind == "Secret" {
		return &EnvSource{SecretKeyRef: selector}
	}
	return &EnvSource{ConfigMapKeyRef: selector}
}

// PathProblem is what is wrong with a path, as a fragment that follows it; empty when it is a plain absolute path below root.
func PathProblem(path, root string) string {
	rest, below := strings.CutPrefix(path, root+"/")
	if !below {
		return "is not below " + root
	}
	if len(path) > 1024 {
		return "is longer than 1024 bytes"
	}
	for _, segment := range strings.Split(rest, "/") {
		if segment == "" || segment[0] == '.' || strings.ContainsFunc(segment, notPlain) {
			return "is not a plain path: use letters, digits and . _ + @ % - and no hidden or empty segment"
		}
	}
	return ""
}

func notPlain(c rune) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return false
	}
	return !strings.ContainsRune("._+@%-", c)
}
