package stage

import "fmt"

// Schema is a JSON Schema fragment.
type Schema map[string]any

// Parameter is one setting that a stage understands; made by [Integer] and its siblings.
type Parameter struct {
	Name   string
	Help   string
	Schema Schema
	// Default is the value when nobody gives one; nil means that the user must give it.
	Default any
	// Flag of `run` that sets it, without dashes.
	Flag string
	// Env is the environment variable that sets it.
	Env string
}

const (
	pathPattern     = "^(/[A-Za-z0-9_+@%-][A-Za-z0-9._+@%-]*)+$"
	quantityPattern = "^([0-9]{1,9}(\\.[0-9]{1,9})?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?)?$"
	imagePattern    = "^[A-Za-z0-9][A-Za-z0-9._/:@-]{0,511}$"
)

// Integer is a whole number.
func Integer(name, help string) Parameter {
	return Parameter{Name: name, Help: help, Schema: Schema{"type": "integer"}}
}

// Number is a number.
func Number(name, help string) Parameter {
	return Parameter{Name: name, Help: help, Schema: Schema{"type": "number"}}
}

// Boolean is true or false.
func Boolean(name, help string) Parameter {
	return Parameter{Name: name, Help: help, Schema: Schema{"type": "boolean"}}
}

// String is text. Give it a [Parameter.Pattern] when it ends up in a command line.
func String(name, help string) Parameter {
	return Parameter{Name: name, Help: help, Schema: Schema{"type": "string", "maxLength": 1024}}
}

// Choice is one of several words.
func Choice(name, help string, words ...string) Parameter {
	return Parameter{Name: name, Help: help, Schema: Schema{"type": "string", "enum": words}}
}

// Strings is a list of texts.
func Strings(name, help string) Parameter {
	items := Schema{"type": "string", "maxLength": 1024}
	return Parameter{Name: name, Help: help, Schema: Schema{"type": "array", "items": items, "maxItems": 100}}
}

// Path is an absolute path in a pod, without what some program on the way would take for something else.
func Path(name, help string) Parameter { return String(name, help).Pattern(pathPattern) }

// Quantity is a Kubernetes quantity such as `500m` or `16Gi`; empty for none.
func Quantity(name, help string) Parameter { return String(name, help).Pattern(quantityPattern) }

// Image is a container image reference.
func Image(name, help string) Parameter { return String(name, help).Pattern(imagePattern) }

func (p Parameter) keyword(word string, value any) Parameter {
	schema := Schema{word: value}
	for known, value := range p.Schema {
		if known != word {
			schema[known] = value
		}
	}
	p.Schema = schema
	return p
}

// Minimum is the least value.
func (p Parameter) Minimum(value float64) Parameter { return p.keyword("minimum", value) }

// Maximum is the greatest value.
func (p Parameter) Maximum(value float64) Parameter { return p.keyword("maximum", value) }

// Pattern is a regular expression that the text matches (ECMA 262; anchor it with ^ and $).
func (p Parameter) Pattern(pattern string) Parameter { return p.keyword("pattern", pattern) }

// WithDefault is the parameter with a value for when nobody gives one.
func (p Parameter) WithDefault(value any) Parameter {
	p.Default = value
	return p
}

// WithFlag is the parameter with a flag of `run`, without dashes, besides `--set stage.name=value`.
func (p Parameter) WithFlag(flag string) Parameter {
	p.Flag = flag
	return p
}

// WithEnv is the parameter with an environment variable that sets it when no flag does.
func (p Parameter) WithEnv(variable string) Parameter {
	p.Env = variable
	return p
}

// Credential is access data that the host holds. The stage learns which keys there are, never a value.
type Credential struct {
	Name          string
	RequiredKeys  []string
	OptionalKeys  []string
	ConfigMapKeys []string
}

// Volume is a claim that the host provides and shares between stages by its logical name.
type Volume struct {
	Name     string
	Size     string
	ReadOnly bool
}

// Output is a value that a stage hands to later stages, with a sample that stands in while nothing has run.
type Output struct {
	Name   string
	Help   string
	Schema Schema
	Sample any
	// SampleParameter is a parameter whose value stands in instead, unless it is an empty text.
	SampleParameter string
}

// StringOutput is text.
func StringOutput(name, help, sample string) Output {
	return Output{Name: name, Help: help, Schema: Schema{"type": "string", "minLength": 1, "maxLength": 4096}, Sample: sample}
}

// NumberOutput is a number.
func NumberOutput(name, help string, sample float64) Output {
	return Output{Name: name, Help: help, Schema: Schema{"type": "number"}, Sample: sample}
}

// CountOutput is a whole number of at least 0.
func CountOutput(name, help string, sample uint64) Output {
	return Output{Name: name, Help: help, Schema: Schema{"type": "integer", "minimum": 0}, Sample: sample}
}

// Kind is a kind of Kubernetes object.
type Kind struct {
	APIVersion string
	Kind       string
}

// The usual kinds.
var (
	KindConfigMap  = Kind{"v1", "ConfigMap"}
	KindJob        = Kind{"batch/v1", "Job"}
	KindPod        = Kind{"v1", "Pod"}
	KindPyTorchJob = Kind{"kubeflow.org/v1", "PyTorchJob"}
	KindTrainJob   = Kind{"trainer.kubeflow.org/v1alpha1", "TrainJob"}
)

// Selector is how `run GROUP --FLAG VALUE` picks a stage out of its group.
type Selector struct {
	Flag  string
	Value string
}

// Descriptor is what a stage is and asks for. Constant: it may not depend on anything.
type Descriptor struct {
	Name        string
	Summary     string
	Group       string
	SelectedBy  *Selector
	After       []string
	Parameters  []Parameter
	Credentials []Credential
	Volumes     []Volume
	Inputs      []string
	Outputs     []Output
	Creates     []Kind
	Licence     string
	Homepage    string
}

// Holder is the Secret or ConfigMap that holds a key.
type Holder struct {
	// Kind is Secret or ConfigMap.
	Kind string
	Name string
}

// BoundCredential is a credential as it is in this run: which object holds each key that is there.
type BoundCredential struct {
	Name string
	Keys map[string]Holder
}

// ObjectRef points at one object of the run's namespace.
type ObjectRef struct {
	APIVersion string `json:"api-version"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
}

// Target is how the host knows that an object is done; see [WaitForJob] and its siblings. The texts are CEL over `object`;
// Failed is asked first.
type Target struct {
	Object    ObjectRef `json:"object"`
	Succeeded string    `json:"succeeded"`
	Failed    string    `json:"failed"`
	Reason    string    `json:"reason,omitempty"`
	// TimeoutSeconds is how long it may take; 0: as long as it takes.
	TimeoutSeconds uint64 `json:"timeout-seconds,omitempty"`
}

// ExcerptSource is text that the host gathers for Collect when all targets have succeeded.
type ExcerptSource struct {
	Object    ObjectRef `json:"object"`
	Container string    `json:"container"`
	MaxBytes  uint32    `json:"max-bytes"`
}

// Excerpt is text of one container.
type Excerpt struct {
	Source    ObjectRef
	Container string
	Text      string
}

// ParameterError says that a parameter's value cannot work, for a reason that its schema could not rule out.
type ParameterError struct {
	Parameter string
	Message   string
}

func (e *ParameterError) Error() string {
	return fmt.Sprintf("parameter %s: %s", e.Parameter, e.Message)
}
