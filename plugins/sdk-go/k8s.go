package stage

// QueueLabel is the label by which Kueue takes a workload into a queue.
const QueueLabel = "kueue.x-k8s.io/queue-name"

// Object is something that a plan can apply.
type Object interface {
	// Reference points at it.
	Reference() ObjectRef
}

// Metadata of an object.
type Metadata struct {
	Name        string            `json:"name,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// TypeMeta is what an object is.
type TypeMeta struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

func (k Kind) meta() TypeMeta { return TypeMeta(k) }

// KeySelector names a key of a Secret or ConfigMap.
type KeySelector struct {
	Key  string `json:"key"`
	Name string `json:"name"`
}

// EnvSource is where a variable's value comes from.
type EnvSource struct {
	SecretKeyRef    *KeySelector `json:"secretKeyRef,omitempty"`
	ConfigMapKeyRef *KeySelector `json:"configMapKeyRef,omitempty"`
}

// EnvVar is an environment variable.
type EnvVar struct {
	Name      string     `json:"name"`
	Value     string     `json:"value,omitempty"`
	ValueFrom *EnvSource `json:"valueFrom,omitempty"`
}

// Mount is a volume of the pod at a path of the container.
type Mount struct {
	MountPath string `json:"mountPath"`
	Name      string `json:"name"`
	ReadOnly  bool   `json:"readOnly,omitempty"`
}

// Resources are what a container asks for and may use.
type Resources struct {
	Requests map[string]string `json:"requests,omitempty"`
	Limits   map[string]string `json:"limits,omitempty"`
}

// NewResources leaves out empty quantities, and is nil when nothing remains.
func NewResources(requests, limits map[string]string) *Resources {
	resources := Resources{Requests: quantities(requests), Limits: quantities(limits)}
	if resources.Requests == nil && resources.Limits == nil {
		return nil
	}
	return &resources
}

func quantities(all map[string]string) map[string]string {
	var some map[string]string
	for name, quantity := range all {
		if quantity == "" {
			continue
		}
		if some == nil {
			some = map[string]string{}
		}
		some[name] = quantity
	}
	return some
}

// Capabilities that a container drops.
type Capabilities struct {
	Drop []string `json:"drop,omitempty"`
}

// SeccompProfile restricts system calls.
type SeccompProfile struct {
	Type string `json:"type"`
}

// SecurityContext of a container.
type SecurityContext struct {
	AllowPrivilegeEscalation *bool           `json:"allowPrivilegeEscalation,omitempty"`
	Capabilities             *Capabilities   `json:"capabilities,omitempty"`
	RunAsNonRoot             *bool           `json:"runAsNonRoot,omitempty"`
	SeccompProfile           *SeccompProfile `json:"seccompProfile,omitempty"`
}

// Container of a pod; [NewContainer] makes one by the rules of shared clusters.
type Container struct {
	Name                     string           `json:"name"`
	Image                    string           `json:"image"`
	ImagePullPolicy          string           `json:"imagePullPolicy,omitempty"`
	Command                  []string         `json:"command,omitempty"`
	Env                      []EnvVar         `json:"env,omitempty"`
	Resources                *Resources       `json:"resources,omitempty"`
	VolumeMounts             []Mount          `json:"volumeMounts,omitempty"`
	TerminationMessagePolicy string           `json:"terminationMessagePolicy,omitempty"`
	SecurityContext          *SecurityContext `json:"securityContext,omitempty"`
}

// NewContainer is a container that runs as an ordinary user without any privilege: it meets the Pod Security Standard
// `restricted`. The end of its log becomes its termination message, so that a failure explains itself in the pod's status.
func NewContainer(name, image string, command ...string) Container {
	yes, no := true, false
	return Container{
		Name:                     name,
		Image:                    image,
		Command:                  command,
		TerminationMessagePolicy: "FallbackToLogsOnError",
		SecurityContext: &SecurityContext{
			AllowPrivilegeEscalation: &no,
			Capabilities:             &Capabilities{Drop: []string{"ALL"}},
			RunAsNonRoot:             &yes,
			SeccompProfile:           &SeccompProfile{Type: "RuntimeDefault"},
		},
	}
}

// PodVolume is a volume of a pod; made by [ClaimVolume] and its siblings.
type PodVolume struct {
	Name      string           `json:"name"`
	Claim     *ClaimSource     `json:"persistentVolumeClaim,omitempty"`
	ConfigMap *ConfigMapSource `json:"configMap,omitempty"`
	EmptyDir  *EmptyDir        `json:"emptyDir,omitempty"`
}

// ClaimSource is a claim.
type ClaimSource struct {
	ClaimName string `json:"claimName"`
}

// ConfigMapSource is a ConfigMap.
type ConfigMapSource struct {
	Name string `json:"name"`
}

// EmptyDir is scratch space.
type EmptyDir struct {
	Medium    string `json:"medium,omitempty"`
	SizeLimit string `json:"sizeLimit,omitempty"`
}

// ClaimVolume is a claim as a volume.
func ClaimVolume(name, claim string) PodVolume {
	return PodVolume{Name: name, Claim: &ClaimSource{ClaimName: claim}}
}

// ConfigMapVolume is a ConfigMap as files.
func ConfigMapVolume(name, configMap string) PodVolume {
	return PodVolume{Name: name, ConfigMap: &ConfigMapSource{Name: configMap}}
}

// ScratchVolume ends with the pod.
func ScratchVolume(name string) PodVolume { return PodVolume{Name: name, EmptyDir: &EmptyDir{}} }

// MemoryVolume is scratch space in memory, for `/dev/shm`; an empty size: as much as there is.
func MemoryVolume(name, size string) PodVolume {
	return PodVolume{Name: name, EmptyDir: &EmptyDir{Medium: "Memory", SizeLimit: size}}
}

// PodSecurity of a pod.
type PodSecurity struct {
	RunAsNonRoot   *bool           `json:"runAsNonRoot,omitempty"`
	RunAsUser      *int64          `json:"runAsUser,omitempty"`
	FSGroup        *int64          `json:"fsGroup,omitempty"`
	SeccompProfile *SeccompProfile `json:"seccompProfile,omitempty"`
}

// PodSpec is what a pod runs; [NewPod] makes one by the rules of shared clusters.
type PodSpec struct {
	AutomountServiceAccountToken *bool        `json:"automountServiceAccountToken,omitempty"`
	EnableServiceLinks           *bool        `json:"enableServiceLinks,omitempty"`
	RestartPolicy                string       `json:"restartPolicy,omitempty"`
	InitContainers               []Container  `json:"initContainers,omitempty"`
	Containers                   []Container  `json:"containers"`
	SecurityContext              *PodSecurity `json:"securityContext,omitempty"`
	Volumes                      []PodVolume  `json:"volumes,omitempty"`
}

// NewPod is a pod without access to the Kubernetes API and without other Services' addresses in its environment.
func NewPod(containers ...Container) PodSpec {
	yes, no := true, false
	return PodSpec{
		AutomountServiceAccountToken: &no,
		EnableServiceLinks:           &no,
		Containers:                   containers,
		SecurityContext:              &PodSecurity{RunAsNonRoot: &yes, SeccompProfile: &SeccompProfile{Type: "RuntimeDefault"}},
	}
}

// RunAs sets the user and the group that owns the volumes; -1 leaves one to image and cluster.
func (p PodSpec) RunAs(user, group int64) PodSpec {
	context := *p.SecurityContext
	if user >= 0 {
		context.RunAsUser = &user
	}
	if group >= 0 {
		context.FSGroup = &group
	}
	p.SecurityContext = &context
	return p
}

// PodTemplate is a pod with its metadata.
type PodTemplate struct {
	Metadata Metadata `json:"metadata"`
	Spec     PodSpec  `json:"spec"`
}

// NewTemplate is a template with the label `app`, kept out of service meshes: a sidecar that never ends would keep a Job
// from completing.
func NewTemplate(app string, spec PodSpec) PodTemplate {
	return PodTemplate{
		Metadata: Metadata{
			Annotations: map[string]string{"sidecar.istio.io/inject": "false"},
			Labels:      map[string]string{"app": app},
		},
		Spec: spec,
	}
}

// ConfigMap is files, for [ConfigMapVolume].
type ConfigMap struct {
	TypeMeta
	Metadata Metadata          `json:"metadata"`
	Data     map[string]string `json:"data"`
}

// NewConfigMap is a ConfigMap of files.
func NewConfigMap(name string, data map[string]string) ConfigMap {
	return ConfigMap{TypeMeta: KindConfigMap.meta(), Metadata: Metadata{Name: name}, Data: data}
}

// JobSpec is what a Job does.
type JobSpec struct {
	BackoffLimit          int32       `json:"backoffLimit"`
	ActiveDeadlineSeconds int64       `json:"activeDeadlineSeconds,omitempty"`
	Template              PodTemplate `json:"template"`
}

// Job runs a pod to its end.
type Job struct {
	TypeMeta
	Metadata Metadata `json:"metadata"`
	Spec     JobSpec  `json:"spec"`
}

// NewJob is a Job that runs the pod once and tries again so many times.
func NewJob(name, app string, pod PodSpec, backoffLimit int32) Job {
	pod.RestartPolicy = "Never"
	return Job{
		TypeMeta: KindJob.meta(),
		Metadata: Metadata{Name: name},
		Spec:     JobSpec{BackoffLimit: backoffLimit, Template: NewTemplate(app, pod)},
	}
}

// ReplicaSpec is the pods of one role.
type ReplicaSpec struct {
	Replicas      int32       `json:"replicas"`
	RestartPolicy string      `json:"restartPolicy"`
	Template      PodTemplate `json:"template"`
}

// RunPolicy is when a training gives up, and what remains afterwards.
type RunPolicy struct {
	// BackoffLimit is how many restarts before it counts as failed. There is always one: without, the operator would
	// restart a crash loop for ever.
	BackoffLimit          int32  `json:"backoffLimit"`
	CleanPodPolicy        string `json:"cleanPodPolicy,omitempty"`
	ActiveDeadlineSeconds int64  `json:"activeDeadlineSeconds,omitempty"`
}

// PyTorchJobSpec is what a PyTorchJob does.
type PyTorchJobSpec struct {
	NprocPerNode string                 `json:"nprocPerNode,omitempty"`
	Replicas     map[string]ReplicaSpec `json:"pytorchReplicaSpecs"`
	RunPolicy    RunPolicy              `json:"runPolicy"`
}

// PyTorchJob is a distributed training by Kubeflow's training operator.
type PyTorchJob struct {
	TypeMeta
	Metadata Metadata       `json:"metadata"`
	Spec     PyTorchJobSpec `json:"spec"`
}

// NewPyTorchJob is a training of one master and so many workers. The pod's container must be called `pytorch`.
func NewPyTorchJob(name, app string, pod PodSpec, workers int32, policy RunPolicy) PyTorchJob {
	roles := map[string]ReplicaSpec{"Master": {Replicas: 1, RestartPolicy: "OnFailure", Template: NewTemplate(app, pod)}}
	if workers > 0 {
		roles["Worker"] = ReplicaSpec{Replicas: workers, RestartPolicy: "OnFailure", Template: NewTemplate(app, pod)}
	}
	return PyTorchJob{
		TypeMeta: KindPyTorchJob.meta(),
		Metadata: Metadata{Name: name},
		Spec:     PyTorchJobSpec{Replicas: roles, RunPolicy: policy},
	}
}

// RuntimeRef names a runtime of Kubeflow Trainer.
type RuntimeRef struct {
	APIGroup string `json:"apiGroup"`
	Kind     string `json:"kind"`
	Name     string `json:"name"`
}

// Trainer is what a training says differently from its runtime.
type Trainer struct {
	Image            string     `json:"image,omitempty"`
	Command          []string   `json:"command,omitempty"`
	Args             []string   `json:"args,omitempty"`
	Env              []EnvVar   `json:"env,omitempty"`
	NumNodes         int32      `json:"numNodes,omitempty"`
	ResourcesPerNode *Resources `json:"resourcesPerNode,omitempty"`
}

// TrainJobSpec is what a TrainJob does.
type TrainJobSpec struct {
	RuntimeRef RuntimeRef `json:"runtimeRef"`
	Trainer    *Trainer   `json:"trainer,omitempty"`
}

// TrainJob is a training by Kubeflow Trainer v2.
type TrainJob struct {
	TypeMeta
	Metadata Metadata     `json:"metadata"`
	Spec     TrainJobSpec `json:"spec"`
}

// NewTrainJob is a training on a runtime of the cluster.
func NewTrainJob(name, runtime string, trainer Trainer) TrainJob {
	reference := RuntimeRef{APIGroup: "trainer.kubeflow.org", Kind: "ClusterTrainingRuntime", Name: runtime}
	return TrainJob{
		TypeMeta: KindTrainJob.meta(),
		Metadata: Metadata{Name: name},
		Spec:     TrainJobSpec{RuntimeRef: reference, Trainer: &trainer},
	}
}

func reference(t TypeMeta, m Metadata) ObjectRef { return ObjectRef{t.APIVersion, t.Kind, m.Name} }

// Reference points at it.
func (o ConfigMap) Reference() ObjectRef { return reference(o.TypeMeta, o.Metadata) }

// Reference points at it.
func (o Job) Reference() ObjectRef { return reference(o.TypeMeta, o.Metadata) }

// Reference points at it.
func (o PyTorchJob) Reference() ObjectRef { return reference(o.TypeMeta, o.Metadata) }

// Reference points at it.
func (o TrainJob) Reference() ObjectRef { return reference(o.TypeMeta, o.Metadata) }
