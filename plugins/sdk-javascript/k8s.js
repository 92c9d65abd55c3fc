/**
 * Kubernetes objects by the rules that every shared cluster asks for.
 *
 * Containers meet the Pod Security Standard `restricted`, which is what the host's guard checks at its strictest; commands
 * are lists of arguments, so that no shell looks at a value.
 *
 * @import { Container, ContainerOptions, EnvVar, JobOptions, Manifest, Mount, PodOptions, PodSpec, PodVolume,
 *   PyTorchJobOptions, TrainJobOptions } from "./types.js"
 */

/** The label by which Kueue takes a workload into a queue. */
export const QUEUE_LABEL = "kueue.x-k8s.io/queue-name";

/**
 * The fields that say something.
 * @template {{ [name: string]: unknown }} T
 * @param {T} fields
 * @returns {T}
 */
function some(fields) {
  const kept = Object.entries(fields).filter(([, value]) => {
    if (value === undefined || value === null) return false;
    if (Array.isArray(value)) return value.length > 0;
    return typeof value !== "object" || Object.keys(value).length > 0;
  });
  return /** @type {T} */ (Object.fromEntries(kept));
}

/** @param {{ readonly [resource: string]: string }} [quantities] */
const quantities = (quantities = {}) =>
  Object.fromEntries(Object.entries(quantities).filter(([, quantity]) => quantity !== ""));

/** @param {ContainerOptions["env"]} env @returns {readonly EnvVar[]} */
const variables = (env = []) =>
  Array.isArray(env) ? env : Object.entries(env).map(([name, value]) => ({ name, value }));

/** A volume of the pod at a path. @param {string} name @param {string} mountPath @param {{ readOnly?: boolean }} [options] @returns {Mount} */
export const mount = (name, mountPath, { readOnly = false } = {}) =>
  readOnly ? { mountPath, name, readOnly } : { mountPath, name };

/**
 * A container that runs as an ordinary user without any privilege. The end of its log becomes its termination message, so
 * that a failure explains itself in the pod's status.
 * @param {string} name
 * @param {string} image
 * @param {ContainerOptions} [options]
 * @returns {Container}
 */
export function container(name, image, options = {}) {
  return some({
    name,
    image,
    imagePullPolicy: options.pullPolicy,
    command: options.command,
    env: variables(options.env),
    resources: some({ requests: quantities(options.requests), limits: quantities(options.limits) }),
    volumeMounts: options.mounts,
    terminationMessagePolicy: "FallbackToLogsOnError",
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
      runAsNonRoot: true,
      seccompProfile: { type: "RuntimeDefault" },
    },
  });
}

/** Volumes of a pod. */
export const volume = {
  /** A claim. @param {string} name @param {string} claimName @returns {PodVolume} */
  claim: (name, claimName) => ({ name, persistentVolumeClaim: { claimName } }),
  /** A ConfigMap as files. @param {string} name @param {string} configMap @returns {PodVolume} */
  configMap: (name, configMap) => ({ name, configMap: { name: configMap } }),
  /** Scratch space that ends with the pod. @param {string} name @returns {PodVolume} */
  scratch: (name) => ({ name, emptyDir: {} }),
  /** Scratch space in memory, for `/dev/shm`. @param {string} name @param {string} [sizeLimit] @returns {PodVolume} */
  memory: (name, sizeLimit = "") => ({ name, emptyDir: some({ medium: "Memory", sizeLimit: sizeLimit || undefined }) }),
};

/**
 * What a pod runs, without access to the Kubernetes API and without other Services' addresses in its environment.
 * @param {readonly Container[]} containers
 * @param {PodOptions} [options]
 * @returns {PodSpec}
 */
export function pod(containers, { init = [], volumes = [], runAsUser = -1, fsGroup = -1 } = {}) {
  return some({
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    initContainers: init,
    containers,
    securityContext: some({
      runAsNonRoot: true,
      seccompProfile: { type: "RuntimeDefault" },
      runAsUser: runAsUser < 0 ? undefined : runAsUser,
      fsGroup: fsGroup < 0 ? undefined : fsGroup,
    }),
    volumes,
  });
}

/**
 * A pod template, kept out of service meshes: a sidecar that never ends would keep a Job from completing.
 * @param {string} app
 * @param {PodSpec} spec
 */
export const template = (app, spec) => ({
  metadata: { annotations: { "sidecar.istio.io/inject": "false" }, labels: { app } },
  spec,
});

/** Files, for `volume.configMap`. @param {string} name @param {{ readonly [file: string]: string }} data @returns {Manifest} */
export const configMap = (name, data) => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data });

/**
 * A Job that runs the pod once and tries again `backoffLimit` times.
 * @param {string} name
 * @param {string} app
 * @param {PodSpec} spec
 * @param {JobOptions} [options]
 * @returns {Manifest}
 */
export const job = (name, app, spec, { backoffLimit = 2, labels = {} } = {}) => ({
  apiVersion: "batch/v1",
  kind: "Job",
  metadata: some({ name, labels }),
  spec: { backoffLimit, template: template(app, { ...spec, restartPolicy: "Never" }) },
});

/**
 * Kubeflow's PyTorchJob: one master, and workers. The container of the pod must be called `pytorch`. Without a backoff limit
 * the operator would restart a crash loop for ever, so there is always one.
 * @param {string} name
 * @param {string} app
 * @param {PodSpec} spec
 * @param {PyTorchJobOptions} [options]
 * @returns {Manifest}
 */
export function pytorchJob(name, app, spec, options = {}) {
  const { workers = 0, backoffLimit = 3, restartPolicy = "OnFailure", runPolicy = {}, labels = {} } = options;
  /** @param {number} count */
  const replicas = (count) => ({ replicas: count, restartPolicy, template: template(app, spec) });
  return {
    apiVersion: "kubeflow.org/v1",
    kind: "PyTorchJob",
    metadata: some({ name, labels }),
    spec: {
      pytorchReplicaSpecs: { Master: replicas(1), ...(workers > 0 ? { Worker: replicas(workers) } : {}) },
      runPolicy: { backoffLimit, ...runPolicy },
    },
  };
}

/**
 * Kubeflow Trainer v2's TrainJob: a runtime of the cluster, and what this training says differently.
 * @param {string} name
 * @param {string} runtime
 * @param {TrainJobOptions} [options]
 * @returns {Manifest}
 */
export function trainJob(name, runtime, options = {}) {
  const { image, command = [], args = [], env = [], nodes, resources = {}, labels = {} } = options;
  const { runtimeKind = "ClusterTrainingRuntime" } = options;
  return {
    apiVersion: "trainer.kubeflow.org/v1alpha1",
    kind: "TrainJob",
    metadata: some({ name, labels }),
    spec: some({
      runtimeRef: { apiGroup: "trainer.kubeflow.org", kind: runtimeKind, name: runtime },
      trainer: some({ image, command, args, env, numNodes: nodes, resourcesPerNode: resources }),
    }),
  };
}
