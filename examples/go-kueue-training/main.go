// The stage queued-training runs a program of one's own as a PyTorchJob that waits in a queue of Kueue's.
//
// Kueue suspends the job until there is room, and may suspend it again: the predicates look at `Succeeded` and `Failed` only,
// so that neither counts as an end. The host itself tells, from Kueue's Workload, why it waits.
package main

import (
	"fmt"
	"slices"

	stage "github.com/instructlab/ilab-host/plugins/sdk-go"
)

const (
	defaultImage = "registry.redhat.io/rhelai1/instructlab-nvidia-rhel9:1.2"
	priority     = "kueue.x-k8s.io/priority-class"
	// What the operator wants the container to be called.
	container = "pytorch"
)

type settings struct {
	Image           string   `json:"image"`
	ImagePullPolicy string   `json:"image-pull-policy"`
	Command         []string `json:"command"`
	Queue           string   `json:"queue-name"`
	Priority        string   `json:"priority-class"`
	Workers         int32    `json:"workers"`
	Gpus            int32    `json:"gpus"`
	Cpu             string   `json:"cpu"`
	Memory          string   `json:"memory"`
	Restarts        int32    `json:"restarts"`
	RunAsUser       int64    `json:"run-as-user"`
	FSGroup         int64    `json:"fs-group"`
}

// Training is one training.
type Training struct{}

// Descriptor says what it is and asks for.
func (Training) Descriptor() stage.Descriptor {
	name := "^([a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?)?$"
	return stage.Descriptor{
		Name:    "queued-training",
		Group:   "queued",
		Summary: "Trains with a program of one's own, in a queue of Kueue's",
		After:   []string{"?sdg-data-fetch"},
		Parameters: []stage.Parameter{
			stage.Image("image", "Image with PyTorch and the program").WithDefault(defaultImage),
			stage.Choice("image-pull-policy", "When images are pulled", "IfNotPresent", "Always", "Never").
				WithDefault("IfNotPresent"),
			stage.Strings("command", "The program and its arguments, for torchrun's variables"),
			stage.String("queue-name", "Kueue's local queue").Pattern("^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$"),
			stage.String("priority-class", "Kueue's priority class; empty: none").Pattern(name).WithDefault(""),
			stage.Integer("workers", "Pods besides the master").Minimum(0).Maximum(1000).WithDefault(1),
			stage.Integer("gpus", "GPUs a pod; 0: none").Minimum(0).Maximum(64).WithDefault(1),
			stage.Quantity("cpu", "CPUs asked for a pod; empty: none").WithDefault("4"),
			stage.Quantity("memory", "Memory asked for a pod; empty: none").WithDefault("32Gi"),
			stage.Integer("restarts", "How many times failed pods are started again").Minimum(0).Maximum(100).WithDefault(3),
			stage.Integer("run-as-user", "User id of the processes; -1: what image or cluster say").
				Minimum(-1).WithDefault(-1),
			stage.Integer("fs-group", "Group that owns the volumes; -1: what the cluster says").
				Minimum(-1).WithDefault(-1),
		},
		Volumes:  []stage.Volume{{Name: "data", Size: "200Gi"}},
		Outputs:  []stage.Output{stage.StringOutput("checkpoint", "The trained model", "/data/model/output/queued")},
		Creates:  []stage.Kind{stage.KindPyTorchJob},
		Licence:  "Apache-2.0",
		Homepage: "https://github.com/instructlab/ilab-host/tree/main/examples/go-kueue-training",
	}
}

// Render is a PyTorchJob in the queue.
func (Training) Render(ctx *stage.Context) (*stage.Plan, error) {
	var s settings
	if err := ctx.Into(&s); err != nil {
		return nil, err
	}
	if len(s.Command) == 0 {
		return nil, &stage.ParameterError{Parameter: "command", Message: "names no program"}
	}
	claim, err := ctx.Claim("data")
	if err != nil {
		return nil, err
	}
	pod := stage.NewPod(trainer(s)).RunAs(s.RunAsUser, s.FSGroup)
	pod.Volumes = []stage.PodVolume{
		stage.ClaimVolume("data", claim), stage.MemoryVolume("shm", ""), stage.ScratchVolume("tmp"),
	}
	job := stage.NewPyTorchJob(ctx.Name(), "queued-training", pod, s.Workers, stage.RunPolicy{BackoffLimit: s.Restarts})
	job.Metadata.Labels = map[string]string{stage.QueueLabel: s.Queue}
	if s.Priority != "" {
		job.Metadata.Labels[priority] = s.Priority
	}
	return new(stage.Plan).Apply(job).Wait(stage.WaitForPyTorchJob(ctx.Name())).Read(job, container), nil
}

func trainer(s settings) stage.Container {
	made := stage.NewContainer(container, s.Image, slices.Clone(s.Command)...)
	made.ImagePullPolicy = s.ImagePullPolicy
	made.Env = []stage.EnvVar{{Name: "HOME", Value: "/tmp"}, {Name: "PYTHONUNBUFFERED", Value: "1"}}
	gpus := map[string]string{}
	if s.Gpus > 0 {
		gpus["nvidia.com/gpu"] = fmt.Sprint(s.Gpus)
	}
	// Kueue counts what is asked for: a pod that asks for nothing costs no quota.
	requests := map[string]string{"cpu": s.Cpu, "memory": s.Memory}
	for name, quantity := range gpus {
		requests[name] = quantity
	}
	made.Resources = stage.NewResources(requests, gpus)
	made.VolumeMounts = []stage.Mount{
		{Name: "data", MountPath: "/data"}, {Name: "shm", MountPath: "/dev/shm"}, {Name: "tmp", MountPath: "/tmp"},
	}
	return made
}

func init() { stage.Export(Training{}) }

// A component has no main: the host calls what is exported.
func main() {}
