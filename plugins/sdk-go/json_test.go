package stage

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
)

// all is an object with every field set, so that one that is not written shows.
func all(t *testing.T, into any) {
	t.Helper()
	fill(reflect.ValueOf(into).Elem(), "x")
}

func fill(value reflect.Value, text string) {
	switch value.Kind() {
	case reflect.String:
		value.SetString(text + "\n\"<ä\x01\\")
	case reflect.Int32, reflect.Int64:
		value.SetInt(7)
	case reflect.Bool:
		value.SetBool(true)
	case reflect.Pointer:
		value.Set(reflect.New(value.Type().Elem()))
		fill(value.Elem(), text)
	case reflect.Slice:
		value.Set(reflect.MakeSlice(value.Type(), 2, 2))
		fill(value.Index(0), text)
		fill(value.Index(1), text+"2")
	case reflect.Map:
		value.Set(reflect.MakeMap(value.Type()))
		for _, name := range []string{"b", "a"} {
			element := reflect.New(value.Type().Elem()).Elem()
			fill(element, name)
			value.SetMapIndex(reflect.ValueOf(name), element)
		}
	case reflect.Struct:
		for at := range value.NumField() {
			fill(value.Field(at), text)
		}
	}
}

func TestWhatIsWrittenIsWhatEncodingJSONWrites(t *testing.T) {
	var full struct {
		A ConfigMap
		B Job
		C PyTorchJob
		D TrainJob
	}
	all(t, &full)
	pod := NewPod(NewContainer("c", "i")).RunAs(-1, 0)
	bare := []Object{
		ConfigMap{}, Job{}, PyTorchJob{}, TrainJob{},
		NewJob("j", "a", pod, 0), NewPyTorchJob("p", "a", pod, 2, RunPolicy{}), NewTrainJob("t", "r", Trainer{}),
	}
	for _, object := range append(bare, full.A, full.B, full.C, full.D) {
		plan := new(Plan).Apply(object)
		var wanted bytes.Buffer
		encoder := json.NewEncoder(&wanted)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(object); err != nil {
			t.Fatal(err)
		}
		var a, b any
		if err := json.Unmarshal(plan.Manifests[0], &a); err != nil {
			t.Fatalf("%T: %v: %s", object, err, plan.Manifests[0])
		}
		if err := json.Unmarshal(wanted.Bytes(), &b); err != nil {
			t.Fatal(err)
		}
		drop(a)
		drop(b)
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%T:\n%s\n%s", object, plan.Manifests[0], wanted.Bytes())
		}
	}
}

// drop takes away what is null: a bare object's missing maps.
func drop(value any) {
	switch value := value.(type) {
	case map[string]any:
		for name, field := range value {
			if field == nil {
				delete(value, name)
			} else if inner, object := field.(map[string]any); object && len(inner) == 0 && (name == "data" || name == "pytorchReplicaSpecs") {
				delete(value, name)
			} else if items, list := field.([]any); list && len(items) == 0 {
				delete(value, name)
			} else {
				drop(field)
			}
		}
	case []any:
		for _, item := range value {
			drop(item)
		}
	}
}
