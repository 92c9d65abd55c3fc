package stage

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// encoding/json looks at every type when it first meets it. A component's instance lives for one call, so it would always be
// the first time: of a render of two milliseconds that is one and a half. What is here writes the same without looking.

// fields writes the fields of one object.
type fields struct {
	text  []byte
	fresh bool
}

func (f *fields) key(name string) {
	if !f.fresh {
		f.text = append(f.text, ',')
	}
	f.fresh = false
	f.text = append(f.text, '"')
	f.text = append(f.text, name...)
	f.text = append(f.text, '"', ':')
}

// object writes an object as the next value.
func (f *fields) object(body func()) {
	f.text = append(f.text, '{')
	f.fresh = true
	body()
	f.text = append(f.text, '}')
	f.fresh = false
}

// nested writes a field that is an object.
func (f *fields) nested(name string, body func()) {
	f.key(name)
	f.object(body)
}

// must writes a text, also an empty one; some writes one that says something.
func (f *fields) must(name, value string) {
	f.key(name)
	f.text = appendText(f.text, value)
}

func (f *fields) some(name, value string) {
	if value != "" {
		f.must(name, value)
	}
}

func (f *fields) integer(name string, value int64) {
	f.key(name)
	f.text = strconv.AppendInt(f.text, value, 10)
}

func (f *fields) positive(name string, value int64) {
	if value != 0 {
		f.integer(name, value)
	}
}

func (f *fields) boolean(name string, value *bool) {
	if value != nil {
		f.key(name)
		f.text = strconv.AppendBool(f.text, *value)
	}
}

func (f *fields) texts(name string, values []string) {
	if len(values) == 0 {
		return
	}
	f.key(name)
	list(f, values, func(value string) { f.text = appendText(f.text, value) })
}

func (f *fields) words(name string, values map[string]string) {
	if len(values) > 0 {
		f.allWords(name, values)
	}
}

func (f *fields) allWords(name string, values map[string]string) {
	f.nested(name, func() {
		for _, word := range sorted(values) {
			f.escapedKey(word)
			f.text = appendText(f.text, values[word])
		}
	})
}

// escapedKey is a name that somebody else has chosen.
func (f *fields) escapedKey(name string) {
	if !f.fresh {
		f.text = append(f.text, ',')
	}
	f.fresh = false
	f.text = append(appendText(f.text, name), ':')
}

func sorted[T any](values map[string]T) []string {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func list[T any](f *fields, values []T, each func(T)) {
	f.text = append(f.text, '[')
	for at, value := range values {
		if at > 0 {
			f.text = append(f.text, ',')
		}
		each(value)
	}
	f.text = append(f.text, ']')
	f.fresh = false
}

func objects[T any](f *fields, name string, values []T, each func(T)) {
	if len(values) == 0 {
		return
	}
	f.key(name)
	list(f, values, func(value T) { f.object(func() { each(value) }) })
}

func appendText(text []byte, value string) []byte {
	const hex = "0123456789abcdef"
	if !utf8.ValidString(value) {
		value = strings.ToValidUTF8(value, "\ufffd")
	}
	text = append(text, '"')
	start := 0
	for at := 0; at < len(value); at++ {
		c := value[at]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		text = append(text, value[start:at]...)
		start = at + 1
		switch c {
		case '"', '\\':
			text = append(text, '\\', c)
		case '\n':
			text = append(text, '\\', 'n')
		case '\t':
			text = append(text, '\\', 't')
		case '\r':
			text = append(text, '\\', 'r')
		default:
			text = append(text, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(text, value[start:]...), '"')
}

// quick is an object that writes itself.
type quick interface{ write(f *fields) }

func (t TypeMeta) write(f *fields) {
	f.must("apiVersion", t.APIVersion)
	f.must("kind", t.Kind)
}

func (m Metadata) write(f *fields) {
	f.nested("metadata", func() {
		f.some("name", m.Name)
		f.words("labels", m.Labels)
		f.words("annotations", m.Annotations)
	})
}

func (o ConfigMap) write(f *fields) {
	o.TypeMeta.write(f)
	o.Metadata.write(f)
	f.allWords("data", o.Data)
}

func (o Job) write(f *fields) {
	o.TypeMeta.write(f)
	o.Metadata.write(f)
	f.nested("spec", func() {
		f.integer("backoffLimit", int64(o.Spec.BackoffLimit))
		f.positive("activeDeadlineSeconds", o.Spec.ActiveDeadlineSeconds)
		o.Spec.Template.write(f)
	})
}

func (o PyTorchJob) write(f *fields) {
	o.TypeMeta.write(f)
	o.Metadata.write(f)
	f.nested("spec", func() {
		f.some("nprocPerNode", o.Spec.NprocPerNode)
		f.nested("pytorchReplicaSpecs", func() {
			for _, role := range sorted(o.Spec.Replicas) {
				replicas := o.Spec.Replicas[role]
				f.escapedKey(role)
				f.object(func() {
					f.integer("replicas", int64(replicas.Replicas))
					f.must("restartPolicy", replicas.RestartPolicy)
					replicas.Template.write(f)
				})
			}
		})
		f.nested("runPolicy", func() {
			f.integer("backoffLimit", int64(o.Spec.RunPolicy.BackoffLimit))
			f.some("cleanPodPolicy", o.Spec.RunPolicy.CleanPodPolicy)
			f.positive("activeDeadlineSeconds", o.Spec.RunPolicy.ActiveDeadlineSeconds)
		})
	})
}

func (o TrainJob) write(f *fields) {
	o.TypeMeta.write(f)
	o.Metadata.write(f)
	f.nested("spec", func() {
		f.nested("runtimeRef", func() {
			f.must("apiGroup", o.Spec.RuntimeRef.APIGroup)
			f.must("kind", o.Spec.RuntimeRef.Kind)
			f.must("name", o.Spec.RuntimeRef.Name)
		})
		trainer := o.Spec.Trainer
		if trainer == nil {
			return
		}
		f.nested("trainer", func() {
			f.some("image", trainer.Image)
			f.texts("command", trainer.Command)
			f.texts("args", trainer.Args)
			objects(f, "env", trainer.Env, func(v EnvVar) { v.write(f) })
			f.positive("numNodes", int64(trainer.NumNodes))
			trainer.ResourcesPerNode.write(f, "resourcesPerNode")
		})
	})
}

func (t PodTemplate) write(f *fields) {
	f.nested("template", func() {
		t.Metadata.write(f)
		f.nested("spec", func() { t.Spec.write(f) })
	})
}

func (p PodSpec) write(f *fields) {
	f.boolean("automountServiceAccountToken", p.AutomountServiceAccountToken)
	f.boolean("enableServiceLinks", p.EnableServiceLinks)
	f.some("restartPolicy", p.RestartPolicy)
	objects(f, "initContainers", p.InitContainers, func(c Container) { c.write(f) })
	f.key("containers")
	list(f, p.Containers, func(c Container) { f.object(func() { c.write(f) }) })
	if security := p.SecurityContext; security != nil {
		f.nested("securityContext", func() {
			f.boolean("runAsNonRoot", security.RunAsNonRoot)
			if security.RunAsUser != nil {
				f.integer("runAsUser", *security.RunAsUser)
			}
			if security.FSGroup != nil {
				f.integer("fsGroup", *security.FSGroup)
			}
			security.SeccompProfile.write(f)
		})
	}
	objects(f, "volumes", p.Volumes, func(v PodVolume) { v.write(f) })
}

func (c Container) write(f *fields) {
	f.must("name", c.Name)
	f.must("image", c.Image)
	f.some("imagePullPolicy", c.ImagePullPolicy)
	f.texts("command", c.Command)
	objects(f, "env", c.Env, func(v EnvVar) { v.write(f) })
	c.Resources.write(f, "resources")
	objects(f, "volumeMounts", c.VolumeMounts, func(m Mount) {
		f.must("mountPath", m.MountPath)
		f.must("name", m.Name)
		if m.ReadOnly {
			f.boolean("readOnly", &m.ReadOnly)
		}
	})
	f.some("terminationMessagePolicy", c.TerminationMessagePolicy)
	security := c.SecurityContext
	if security == nil {
		return
	}
	f.nested("securityContext", func() {
		f.boolean("allowPrivilegeEscalation", security.AllowPrivilegeEscalation)
		if security.Capabilities != nil {
			f.nested("capabilities", func() { f.texts("drop", security.Capabilities.Drop) })
		}
		f.boolean("runAsNonRoot", security.RunAsNonRoot)
		security.SeccompProfile.write(f)
	})
}

func (s *SeccompProfile) write(f *fields) {
	if s != nil {
		f.nested("seccompProfile", func() { f.must("type", s.Type) })
	}
}

func (r *Resources) write(f *fields, name string) {
	if r != nil {
		f.nested(name, func() {
			f.words("requests", r.Requests)
			f.words("limits", r.Limits)
		})
	}
}

func (v EnvVar) write(f *fields) {
	f.must("name", v.Name)
	f.some("value", v.Value)
	if v.ValueFrom == nil {
		return
	}
	f.nested("valueFrom", func() {
		v.ValueFrom.SecretKeyRef.write(f, "secretKeyRef")
		v.ValueFrom.ConfigMapKeyRef.write(f, "configMapKeyRef")
	})
}

func (k *KeySelector) write(f *fields, name string) {
	if k != nil {
		f.nested(name, func() {
			f.must("key", k.Key)
			f.must("name", k.Name)
		})
	}
}

func (v PodVolume) write(f *fields) {
	f.must("name", v.Name)
	if v.Claim != nil {
		f.nested("persistentVolumeClaim", func() { f.must("claimName", v.Claim.ClaimName) })
	}
	if v.ConfigMap != nil {
		f.nested("configMap", func() { f.must("name", v.ConfigMap.Name) })
	}
	if v.EmptyDir != nil {
		f.nested("emptyDir", func() {
			f.some("medium", v.EmptyDir.Medium)
			f.some("sizeLimit", v.EmptyDir.SizeLimit)
		})
	}
}
