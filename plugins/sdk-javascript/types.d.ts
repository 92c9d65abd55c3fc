/** The contract's words (`wit/stage.wit`), and Kubernetes' own as far as the builders know them. */

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
export type Schema = { readonly [word: string]: Json };

/** One setting that a stage understands; `parameter` makes them. */
export interface Parameter {
  readonly name: string;
  readonly help: string;
  readonly schema: Schema;
  /** The value when nobody gives one; without it the user must give it. */
  readonly default?: Json;
  /** The flag of `run` that sets it, without dashes. */
  readonly flag?: string;
  /** The environment variable that sets it. */
  readonly env?: string;
}

/** Access data that the host holds. The stage learns which keys there are, never a value. */
export interface Credential {
  readonly name: string;
  readonly requiredKeys: readonly string[];
  readonly optionalKeys?: readonly string[];
  readonly configMapKeys?: readonly string[];
}

/** A claim that the host provides and shares between stages by its logical name. */
export interface Volume {
  readonly name: string;
  readonly size: string;
  readonly readOnly?: boolean;
}

/** A value that a stage hands to later stages; `output` makes them. */
export interface Output {
  readonly name: string;
  readonly help: string;
  readonly schema: Schema;
  /** Stands in for the value while nothing has run. */
  readonly sample: Json;
  /** A parameter whose value stands in instead, unless it is an empty text. */
  readonly sampleParameter?: string;
}

/** A kind of Kubernetes object. */
export interface Kind {
  readonly apiVersion: string;
  readonly kind: string;
}

/** What a stage is and asks for. Constant: it may not depend on anything. */
export interface Descriptor {
  readonly name: string;
  readonly group: string;
  readonly summary: string;
  /** How `run GROUP --FLAG VALUE` picks it out of its group. */
  readonly selectedBy?: { readonly flag: string; readonly value: string };
  readonly after?: readonly string[];
  readonly parameters?: readonly Parameter[];
  readonly credentials?: readonly Credential[];
  readonly volumes?: readonly Volume[];
  readonly inputs?: readonly string[];
  readonly outputs?: readonly Output[];
  readonly creates: readonly Kind[];
  readonly licence?: string;
  readonly homepage?: string;
}

/** The object that holds a key. */
export interface Holder {
  readonly kind: "Secret" | "ConfigMap";
  readonly name: string;
}

/** A credential as it is in this run: which object holds each key that is there. */
export interface BoundCredential {
  readonly name: string;
  readonly keys: { readonly [key: string]: Holder };
}

/** What a stage is rendered for, as plain data. */
export interface ContextData {
  readonly run: string;
  readonly namespace: string;
  readonly prefix: string;
  readonly parameters: { readonly [name: string]: Json };
  readonly inputs: { readonly [name: string]: Json };
  readonly credentials: readonly BoundCredential[];
  readonly volumes: { readonly [name: string]: string };
}

/** Points at one object of the run's namespace. */
export interface ObjectRef {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
}

/** How the host knows that an object is done; CEL over `object`, `failed` is asked first. See `targets`. */
export interface Target {
  readonly object: ObjectRef;
  readonly succeeded: string;
  readonly failed: string;
  readonly reason?: string;
  readonly timeoutSeconds?: number;
}

/** Text that the host gathers for `collect` when all targets have succeeded. */
export interface ExcerptSource {
  readonly object: ObjectRef;
  readonly container: string;
  readonly maxBytes: number;
}

/** Text of one container. */
export interface Excerpt {
  readonly source: ObjectRef;
  readonly container: string;
  readonly text: string;
}

/** A whole Kubernetes object. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly [field: string]: unknown };
  readonly [field: string]: unknown;
}

/** An environment variable. */
export interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: { readonly [field: string]: { readonly key: string; readonly name: string } };
}

/** A volume of the pod at a path of the container. */
export interface Mount {
  readonly mountPath: string;
  readonly name: string;
  readonly readOnly?: boolean;
}

/** What a container is made of besides its name and image. Empty quantities are left out. */
export interface ContainerOptions {
  readonly command?: readonly string[];
  readonly env?: readonly EnvVar[] | { readonly [name: string]: string };
  readonly mounts?: readonly Mount[];
  readonly requests?: { readonly [resource: string]: string };
  readonly limits?: { readonly [resource: string]: string };
  readonly pullPolicy?: string;
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly [field: string]: unknown;
}

export interface PodVolume {
  readonly name: string;
  readonly [source: string]: unknown;
}

/** What a pod is made of besides its containers. */
export interface PodOptions {
  readonly init?: readonly Container[];
  readonly volumes?: readonly PodVolume[];
  /** -1 leaves it to image and cluster. */
  readonly runAsUser?: number;
  /** -1 leaves it to the cluster. */
  readonly fsGroup?: number;
}

export interface PodSpec {
  readonly containers: readonly Container[];
  readonly [field: string]: unknown;
}

export interface JobOptions {
  readonly backoffLimit?: number;
  readonly labels?: { readonly [name: string]: string };
}

export interface PyTorchJobOptions extends JobOptions {
  readonly workers?: number;
  readonly restartPolicy?: "Always" | "OnFailure" | "Never" | "ExitCode";
  readonly runPolicy?: { readonly [field: string]: Json };
}

export interface TrainJobOptions {
  readonly image?: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly EnvVar[];
  readonly nodes?: number;
  readonly resources?: { readonly requests?: Schema; readonly limits?: Schema };
  readonly runtimeKind?: "ClusterTrainingRuntime" | "TrainingRuntime";
  readonly labels?: { readonly [name: string]: string };
}

/** One stage of a pipeline. `render` and `collect` are pure: the same input gives the same output, always. */
export interface Stage {
  readonly descriptor: Descriptor;
  /** The objects of the stage, and the predicates that say when they are done. */
  render(ctx: import("./context.js").Context): import("./plan.js").Plan;
  /** The stage's outputs; by default the last line `ILAB_OUTPUTS {json}` of each excerpt, reduced to the declared ones. */
  collect?(ctx: import("./context.js").Context, excerpts: readonly Excerpt[]): { readonly [name: string]: Json };
}
