// Package testkit has what unit tests of stages need: contexts made from descriptors, and golden files. What the host itself
// checks of a plan, `ilab-host plugin check` and `plugin test` check.
package testkit

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	stage "github.com/instructlab/ilab-host/plugins/sdk-go"
)

// Sample is a stage with a context like the host's: every parameter has its default, every credential its required and
// optional keys in a Secret of the credential's name, and every volume the claim `ilab-VOLUME`.
type Sample struct {
	t          testing.TB
	stage      stage.Stage
	parameters map[string]any
	inputs     map[string]any
}

// Of is the sample of a stage. Inputs are not known until [Sample.Input] names them.
func Of(t testing.TB, of stage.Stage) *Sample {
	parameters := map[string]any{}
	for _, parameter := range of.Descriptor().Parameters {
		if parameter.Default != nil {
			parameters[parameter.Name] = parameter.Default
		}
	}
	return &Sample{t, of, parameters, map[string]any{}}
}

// Set sets a parameter.
func (s *Sample) Set(name string, value any) *Sample {
	s.t.Helper()
	known := func(p stage.Parameter) bool { return p.Name == name }
	if !slices.ContainsFunc(s.stage.Descriptor().Parameters, known) {
		s.t.Fatalf("there is no parameter %s", name)
	}
	s.parameters[name] = value
	return s
}

// Input makes an input known.
func (s *Sample) Input(name string, value any) *Sample {
	s.t.Helper()
	known := func(input string) bool { return strings.TrimPrefix(input, "?") == name }
	if !slices.ContainsFunc(s.stage.Descriptor().Inputs, known) {
		s.t.Fatalf("there is no input %s", name)
	}
	s.inputs[name] = value
	return s
}

func (s *Sample) json(value any) json.RawMessage {
	s.t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

// Context is the context.
func (s *Sample) Context() *stage.Context {
	s.t.Helper()
	descriptor := s.stage.Descriptor()
	inputs, volumes := map[string]json.RawMessage{}, map[string]string{}
	for name, value := range s.inputs {
		inputs[name] = s.json(value)
	}
	for _, volume := range descriptor.Volumes {
		volumes[volume.Name] = "ilab-" + volume.Name
	}
	var credentials []stage.BoundCredential
	for _, credential := range descriptor.Credentials {
		keys := map[string]stage.Holder{}
		for _, key := range slices.Concat(credential.RequiredKeys, credential.OptionalKeys) {
			keys[key] = stage.Holder{Kind: "Secret", Name: credential.Name}
		}
		credentials = append(credentials, stage.BoundCredential{Name: credential.Name, Keys: keys})
	}
	return &stage.Context{
		Run:         "ilab",
		Namespace:   "demo",
		Prefix:      "ilab-" + descriptor.Name,
		Parameters:  s.json(s.parameters),
		Inputs:      inputs,
		Credentials: credentials,
		Volumes:     volumes,
	}
}

// Render renders the stage.
func (s *Sample) Render() *stage.Plan {
	s.t.Helper()
	plan, err := s.stage.Render(s.Context())
	if err == nil {
		err = plan.Err()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return plan
}

// Refused is why the stage does not render.
func (s *Sample) Refused() string {
	s.t.Helper()
	_, err := s.stage.Render(s.Context())
	if err == nil {
		s.t.Fatal("it renders")
	}
	return err.Error()
}

// Golden compares the plan with a file; with BLESS=1 in the environment it writes the file instead.
func (s *Sample) Golden(file string) {
	s.t.Helper()
	text, err := json.MarshalIndent(s.Render(), "", "  ")
	if err != nil {
		s.t.Fatal(err)
	}
	text = append(text, '\n')
	if os.Getenv("BLESS") != "" {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	expected, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatalf("%v; BLESS=1 writes it", err)
	}
	if bytes.Equal(expected, text) {
		return
	}
	is := strings.Split(string(text), "\n")
	for at, was := range strings.Split(string(expected), "\n") {
		if at >= len(is) || was != is[at] {
			s.t.Fatalf("%s line %d differs from %q; BLESS=1 accepts it", file, at+1, was)
		}
	}
	s.t.Fatalf("%s is shorter; BLESS=1 accepts it", file)
}
