/**
 * Between the component's ABI and `Stage`. Imported by what `ilab-host plugin build` writes, and by nobody else.
 *
 * @import { Descriptor, ObjectRef, Stage } from "./types.js"
 */

import { log as hostLog } from "ilab:pipeline/host-log@0.1.0";
import { Context } from "./context.js";
import { StageError } from "./error.js";
import * as log from "./log.js";
import { collect } from "./outputs.js";

/** @param {{ credentials: any[], volumes: any[], parameters: string, inputs: string, run: string, namespace: string, prefix: string }} abi */
function context(abi) {
  return new Context({
    run: abi.run,
    namespace: abi.namespace,
    prefix: abi.prefix,
    parameters: JSON.parse(abi.parameters),
    inputs: JSON.parse(abi.inputs),
    credentials: abi.credentials.map(({ name, keys }) => ({
      name,
      keys: Object.fromEntries(
        keys.map((/** @type {any} */ { key, holder }) => [
          key,
          { kind: holder.tag === "secret" ? "Secret" : "ConfigMap", name: holder.val },
        ]),
      ),
    })),
    volumes: Object.fromEntries(abi.volumes.map(({ name, claim }) => [name, claim])),
  });
}

/** @param {Descriptor} d */
function descriptor(d) {
  return {
    name: d.name,
    summary: d.summary,
    group: d.group,
    selectedBy: d.selectedBy,
    after: d.after ?? [],
    parameters: (d.parameters ?? []).map((p) => ({
      name: p.name,
      help: p.help,
      schema: JSON.stringify(p.schema),
      default: p.default === undefined ? undefined : JSON.stringify(p.default),
      flag: p.flag,
      env: p.env,
    })),
    credentials: (d.credentials ?? []).map((c) => ({
      name: c.name,
      requiredKeys: c.requiredKeys,
      optionalKeys: c.optionalKeys ?? [],
      configMapKeys: c.configMapKeys ?? [],
    })),
    volumes: (d.volumes ?? []).map((v) => ({ name: v.name, size: v.size, readOnly: v.readOnly ?? false })),
    inputs: d.inputs ?? [],
    outputs: (d.outputs ?? []).map((o) => ({
      name: o.name,
      help: o.help,
      schema: JSON.stringify(o.schema),
      sample: JSON.stringify(o.sample),
      sampleParameter: o.sampleParameter,
    })),
    creates: d.creates.map(({ apiVersion, kind }) => ({ apiVersion, kind })),
    licence: d.licence,
    homepage: d.homepage,
  };
}

/**
 * Turns what a stage throws into what the contract has; anything unexpected is logged, for it is a defect.
 * @template T
 * @param {() => T} call
 * @returns {T}
 */
function guarded(call) {
  try {
    return call();
  } catch (error) {
    if (error instanceof StageError) {
      throw error.parameter === undefined
        ? { tag: "other", val: error.message }
        : { tag: "invalid-parameter", val: [error.parameter, error.message] };
    }
    const why = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    log.error(error instanceof Error && error.stack ? `${why}\n${error.stack}` : why);
    throw { tag: "other", val: `the stage has a defect: ${why}` };
  }
}

/** What the component exports. @param {readonly Stage[]} stages */
export function exported(stages) {
  log.sendTo((level, message) => hostLog(level, message));
  const known = new Map(stages.map((stage) => [stage.descriptor.name, stage]));
  const descriptors = stages.map((stage) => descriptor(stage.descriptor));
  /** @param {string} name */
  const find = (name) => {
    const stage = known.get(name);
    if (stage === undefined) {
      throw new StageError(`there is no stage ${JSON.stringify(name)} here, only ${[...known.keys()].join(", ")}`);
    }
    return stage;
  };
  return {
    stages: () => descriptors,
    /** @param {string} name @param {any} abi */
    render: (name, abi) =>
      guarded(() => {
        const plan = find(name).render(context(abi));
        return {
          manifests: plan.manifests.map((manifest) => JSON.stringify(manifest)),
          targets: plan.targets.map((t) => ({
            object: t.object,
            succeeded: t.succeeded,
            failed: t.failed,
            reason: t.reason,
            timeoutSeconds: t.timeoutSeconds === undefined ? undefined : BigInt(t.timeoutSeconds),
          })),
          excerpts: plan.excerpts,
        };
      }),
    /** @param {string} name @param {any} abi @param {{ source: ObjectRef, container: string, text: string }[]} excerpts */
    collect: (name, abi, excerpts) =>
      guarded(() => {
        const stage = find(name);
        const outputs = stage.collect?.(context(abi), excerpts) ?? collect(stage.descriptor, excerpts);
        return JSON.stringify(outputs);
      }),
  };
}
