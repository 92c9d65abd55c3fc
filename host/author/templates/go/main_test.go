package main

import (
	"strings"
	"testing"

	"github.com/instructlab/ilab-host/plugins/sdk-go/testkit"
)

// Unit tests: `go test`. What the host makes of the component, `ilab-host plugin test` compares with tests/cases.

func sample(t *testing.T) *testkit.Sample {
	return testkit.Of(t, Evaluation{}).Input(checkpoints, "/data/checkpoints")
}

func TestTheScriptGetsTheFolder(t *testing.T) {
	job := string(sample(t).Render().Manifests[1])
	if !strings.Contains(job, `"--checkpoints-dir","/data/checkpoints"`) {
		t.Error(job)
	}
}

func TestAFolderElsewhereIsRefused(t *testing.T) {
	if why := sample(t).Input(checkpoints, "/etc").Refused(); !strings.Contains(why, "not below /data") {
		t.Error(why)
	}
}
