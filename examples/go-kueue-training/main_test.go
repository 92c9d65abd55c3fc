package main

import (
	"strings"
	"testing"

	"github.com/instructlab/ilab-host/plugins/sdk-go/testkit"
)

func sample(t *testing.T) *testkit.Sample {
	return testkit.Of(t, Training{}).Set("command", []string{"train"}).Set("queue-name", "user-queue")
}

func TestItWaitsInTheQueue(t *testing.T) {
	job := string(sample(t).Set("priority-class", "high").Render().Manifests[0])
	for _, label := range []string{`"kueue.x-k8s.io/queue-name":"user-queue"`, `"kueue.x-k8s.io/priority-class":"high"`} {
		if !strings.Contains(job, label) {
			t.Errorf("%s is not in %s", label, job)
		}
	}
}

func TestWithoutWorkersTheMasterIsAlone(t *testing.T) {
	if job := string(sample(t).Set("workers", 0).Render().Manifests[0]); strings.Contains(job, "Worker") {
		t.Error(job)
	}
}

func TestAProgramIsNeeded(t *testing.T) {
	if why := sample(t).Set("command", []string{}).Refused(); why != "parameter command: names no program" {
		t.Error(why)
	}
}
