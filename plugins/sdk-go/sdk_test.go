package stage

import (
	"strings"
	"testing"
)

func TestTheLastOutputsLineCounts(t *testing.T) {
	log := "ILAB_OUTPUTS {\"a\":1}\nnoise ILAB_OUTPUTS {\"a\":9}\nILAB_OUTPUTS {\"a\":2}\r\ntrailing"
	found, err := OutputsFromLog(log)
	if err != nil || string(found["a"]) != "2" {
		t.Error(found, err)
	}
}

func TestWhatIsNoOutputsLineIsAnError(t *testing.T) {
	deep := `ILAB_OUTPUTS {"a":` + strings.Repeat("[", 100_000)
	for _, log := range []string{"", "nothing", "ILAB_OUTPUTS", "ILAB_OUTPUTS []", "ILAB_OUTPUTS null", `ILAB_OUTPUTS {"a":NaN}`, deep} {
		if found, err := OutputsFromLog(log); err == nil {
			t.Errorf("%.40s: %v", log, found)
		}
	}
}

func TestAllDeclaredOutputsAreNeededAndNoOthersKept(t *testing.T) {
	descriptor := Descriptor{Outputs: []Output{CountOutput("a", "", 1), CountOutput("b", "", 1)}}
	both := []Excerpt{{Text: `ILAB_OUTPUTS {"a":1,"extra":2}`}, {Text: `ILAB_OUTPUTS {"b":3}`}}
	if outputs, err := CollectOutputs(descriptor, both); err != nil || len(outputs) != 2 {
		t.Error(outputs, err)
	}
	if _, err := CollectOutputs(descriptor, both[:1]); err == nil || !strings.Contains(err.Error(), "output b") {
		t.Error(err)
	}
}

func TestPathsOfOtherStagesArePlainAndBelowTheRoot(t *testing.T) {
	if problem := PathProblem("/data/model", "/data"); problem != "" {
		t.Error(problem)
	}
	for _, path := range []string{"/data", "/database/x", "/data/../etc", "/data/a b", "/data//x", "/data/.hidden", "/data/$(x)"} {
		if PathProblem(path, "/data") == "" {
			t.Error(path)
		}
	}
}

func TestOnlyBoundKeysReachTheEnvironment(t *testing.T) {
	ctx := &Context{Credentials: []BoundCredential{{"judge", map[string]Holder{"url": {"ConfigMap", "details"}}}}}
	env, err := ctx.CredentialEnv("judge", KeyVariable{"URL", "url", false}, KeyVariable{"CA", "ca", true})
	if err != nil || len(env) != 1 || env[0].ValueFrom.ConfigMapKeyRef.Name != "details" {
		t.Error(env, err)
	}
	if _, err := ctx.CredentialEnv("judge", KeyVariable{"CA", "ca", false}); err == nil {
		t.Error("a key that is not bound")
	}
	if _, err := ctx.CredentialEnv("other"); err == nil {
		t.Error("a credential that is not bound")
	}
}
