// The stage my-eval looks at every checkpoint of training phase 2.
//
// What is here says what the cluster is to do. It runs in the host, in a sandbox without files, network or clock; the work
// itself is done by evaluate.py, in a pod.
package main

import (
	_ "embed"

	stage "github.com/instructlab/ilab-host/plugins/sdk-go"
)

//go:embed evaluate.py
var script string

const (
	checkpoints  = "train-phase-2.checkpoints-dir"
	defaultImage = "registry.redhat.io/rhelai1/instructlab-nvidia-rhel9:1.2"
	sampleModel  = "/data/model/output/ilab/phase_2/hf_format/s"
)

type settings struct {
	Image           string `json:"image"`
	ImagePullPolicy string `json:"image-pull-policy"`
	RunAsUser       int64  `json:"run-as-user"`
	FSGroup         int64  `json:"fs-group"`
	Memory          string `json:"memory"`
}

// Evaluation is one evaluation of all checkpoints.
type Evaluation struct{}

// Descriptor says what it is and asks for.
func (Evaluation) Descriptor() stage.Descriptor {
	score := stage.Schema{
		"type":       "object",
		"required":   []string{"model", "score"},
		"properties": stage.Schema{"model": stage.Schema{"type": "string"}, "score": stage.Schema{"type": "number"}},
	}
	return stage.Descriptor{
		Name:       "my-eval",
		Group:      "evaluation",
		Summary:    "Tells which share of every checkpoint's weights is finite",
		SelectedBy: &stage.Selector{Flag: "eval-type", Value: "my-eval"},
		After:      []string{"?train-phase-2"},
		Inputs:     []string{checkpoints},
		Parameters: []stage.Parameter{
			stage.Image("image", "Image with Python, PyTorch and safetensors").WithDefault(defaultImage),
			stage.Choice("image-pull-policy", "When images are pulled", "IfNotPresent", "Always", "Never").
				WithDefault("IfNotPresent"),
			stage.Integer("run-as-user", "User id of the processes; -1: what image or cluster say").
				Minimum(-1).WithDefault(-1),
			stage.Integer("fs-group", "Group that owns the volumes; -1: what the cluster says").
				Minimum(-1).WithDefault(-1),
			stage.Quantity("memory", "Memory asked for; empty: none").WithDefault("4Gi"),
		},
		Volumes: []stage.Volume{{Name: "data", Size: "200Gi"}},
		Outputs: []stage.Output{
			stage.StringOutput("best-model", "The best checkpoint", sampleModel),
			stage.NumberOutput("best-score", "Its score", 1),
			{
				Name:   "scores",
				Help:   "The score of each checkpoint",
				Schema: stage.Schema{"type": "array", "minItems": 1, "items": score},
				Sample: []map[string]any{{"model": sampleModel, "score": 1}},
			},
		},
		Creates: []stage.Kind{stage.KindConfigMap, stage.KindJob},
		Licence: "Apache-2.0",
	}
}

// Render is a Job that runs the script, with the claim that all stages share.
func (Evaluation) Render(ctx *stage.Context) (*stage.Plan, error) {
	var settings settings
	if err := ctx.Into(&settings); err != nil {
		return nil, err
	}
	folder, err := ctx.PathInput(checkpoints, "/data")
	if err != nil {
		return nil, err
	}
	claim, err := ctx.Claim("data")
	if err != nil {
		return nil, err
	}
	files := stage.NewConfigMap(ctx.NameWith("scripts"), map[string]string{"evaluate.py": script})
	container := stage.NewContainer("evaluate", settings.Image,
		"python3", "/ilab/scripts/evaluate.py", "--checkpoints-dir", folder)
	container.ImagePullPolicy = settings.ImagePullPolicy
	container.Env = []stage.EnvVar{
		{Name: "HOME", Value: "/tmp"},
		{Name: "PYTHONDONTWRITEBYTECODE", Value: "1"},
		{Name: "PYTHONUNBUFFERED", Value: "1"},
	}
	container.Resources = stage.NewResources(map[string]string{"memory": settings.Memory}, nil)
	container.VolumeMounts = []stage.Mount{
		{Name: "data", MountPath: "/data", ReadOnly: true},
		{Name: "scripts", MountPath: "/ilab/scripts", ReadOnly: true},
		{Name: "tmp", MountPath: "/tmp"},
	}
	pod := stage.NewPod(container).RunAs(settings.RunAsUser, settings.FSGroup)
	pod.Volumes = []stage.PodVolume{
		stage.ClaimVolume("data", claim),
		stage.ConfigMapVolume("scripts", files.Metadata.Name),
		stage.ScratchVolume("tmp"),
	}
	job := stage.NewJob(ctx.Name(), "my-eval", pod, 2)
	return new(stage.Plan).Apply(files).Apply(job).Wait(stage.WaitForJob(ctx.Name())).Read(job, "evaluate"), nil
}

func init() { stage.Export(Evaluation{}) }

// A component has no main: the host calls what is exported.
func main() {}
