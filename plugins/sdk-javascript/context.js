/**
 * What a stage is rendered for.
 *
 * @import { BoundCredential, ContextData, EnvVar, Json } from "./types.js"
 */

import { StageError } from "./error.js";

/** The run, the parameters, the inputs, and the bound credentials and claims. */
export class Context {
  /** @param {ContextData} data */
  constructor(data) {
    this.data = data;
    this.run = data.run;
    this.namespace = data.namespace;
  }

  /** The name for the stage's main object, or with a suffix for a further one. @param {string} [suffix] */
  name(suffix) {
    return suffix === undefined ? this.data.prefix : `${this.data.prefix}-${suffix}`;
  }

  /** A parameter's value, whatever its type. @param {string} name @returns {Json} */
  parameter(name) {
    if (!Object.hasOwn(this.data.parameters, name)) {
      throw new StageError(`the stage reads the parameter ${name}, which it does not declare`);
    }
    return /** @type {Json} */ (this.data.parameters[name]);
  }

  /** A parameter that is text. @param {string} name */
  text(name) {
    const value = this.parameter(name);
    if (typeof value !== "string") throw new StageError("is no text", name);
    return value;
  }

  /** A parameter that is a number. @param {string} name */
  number(name) {
    const value = this.parameter(name);
    if (typeof value !== "number") throw new StageError("is no number", name);
    return value;
  }

  /** A parameter that is a whole number. @param {string} name */
  integer(name) {
    const value = this.number(name);
    if (!Number.isSafeInteger(value)) throw new StageError("is no whole number", name);
    return value;
  }

  /** A parameter that is true or false. @param {string} name */
  boolean(name) {
    const value = this.parameter(name);
    if (typeof value !== "boolean") throw new StageError("is neither true nor false", name);
    return value;
  }

  /** A parameter that is a list of texts. @param {string} name @returns {string[]} */
  texts(name) {
    const value = this.parameter(name);
    if (!Array.isArray(value)) throw new StageError("is no list", name);
    return value.map(String);
  }

  /** An output of another stage, as `stage.output`; undefined when it is not known. @param {string} name @returns {Json | undefined} */
  input(name) {
    return Object.hasOwn(this.data.inputs, name) ? this.data.inputs[name] : undefined;
  }

  /**
   * An input without which the stage cannot do: the absolute path of something below `root`. It came from another stage's
   * log, so it is checked like any foreign text.
   * @param {string} name
   * @param {string} root
   */
  pathInput(name, root) {
    const value = this.input(name);
    if (value === undefined) throw new StageError(`input ${name} is not known: run ${name.split(".")[0]} first`);
    if (typeof value !== "string") throw new StageError(`input ${name} is no text`);
    const problem = pathProblem(value, root);
    if (problem !== undefined) throw new StageError(`input ${name} (${JSON.stringify(value)}) ${problem}`);
    return value;
  }

  /** The claim that stands for a declared volume. @param {string} volume */
  claim(volume) {
    const claim = this.data.volumes[volume];
    if (claim === undefined) throw new StageError(`volume ${volume} is not bound to a claim`);
    return claim;
  }

  /** A declared credential; undefined when the host bound none. @param {string} name @returns {BoundCredential | undefined} */
  credential(name) {
    return this.data.credentials.find((bound) => bound.name === name);
  }

  /**
   * Environment variables (variable to key) that read a credential's keys. Optional keys that are not bound are left out.
   * @param {string} name
   * @param {{ readonly [variable: string]: string }} required
   * @param {{ readonly [variable: string]: string }} [optional]
   * @returns {EnvVar[]}
   */
  credentialEnv(name, required, optional = {}) {
    const bound = this.credential(name);
    if (bound === undefined) throw new StageError(`credential ${name} is not bound`);
    const variables = [];
    for (const [variable, key] of [...Object.entries(required), ...Object.entries(optional)]) {
      const holder = bound.keys[key];
      if (holder !== undefined) {
        const field = holder.kind === "Secret" ? "secretKeyRef" : "configMapKeyRef";
        variables.push({ name: variable, valueFrom: { [field]: { key, name: holder.name } } });
      } else if (Object.hasOwn(required, variable)) {
        throw new StageError(`credential ${name} has no key ${key}`);
      }
    }
    return variables;
  }
}

/**
 * What is wrong with a path, as a fragment that follows it; undefined when it is a plain absolute path below `root`.
 * @param {string} path
 * @param {string} root
 */
export function pathProblem(path, root) {
  if (!path.startsWith(`${root}/`)) return `is not below ${root}`;
  if (path.length > 1024) return "is longer than 1024 bytes";
  const plain = path
    .slice(root.length + 1)
    .split("/")
    .every((segment) => /^[A-Za-z0-9_+@%-][A-Za-z0-9._+@%-]*$/.test(segment));
  return plain
    ? undefined
    : "is not a plain path: use letters, digits and . _ + @ % - and no hidden or empty segment";
}
