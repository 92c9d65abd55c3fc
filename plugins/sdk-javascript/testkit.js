/**
 * What unit tests of stages need: contexts made from descriptors, and golden files. It runs in Node, never in a component.
 *
 * What the host itself checks of a plan, `ilab-host plugin check` and `plugin test` check.
 *
 * @import { Json, Manifest, Stage } from "./types.js"
 */

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { Context } from "./context.js";
import { collect } from "./outputs.js";

/**
 * A stage with a context like the host's: every parameter has its default, every credential its required and optional keys
 * in a Secret of the credential's name, and every volume the claim `ilab-VOLUME`.
 */
export class Sample {
  /**
   * @param {Stage} stage
   * @param {{ [name: string]: Json }} [parameters]
   * @param {{ [name: string]: Json }} [inputs]
   */
  constructor(stage, parameters = {}, inputs = {}) {
    this.stage = stage;
    this.parameters = parameters;
    this.inputs = inputs;
  }

  /** Sets a parameter. @param {string} name @param {Json} value */
  set(name, value) {
    assert(this.stage.descriptor.parameters?.some((p) => p.name === name), `there is no parameter ${name}`);
    return new Sample(this.stage, { ...this.parameters, [name]: value }, this.inputs);
  }

  /** Makes an input known. @param {string} name @param {Json} value */
  input(name, value) {
    const declared = this.stage.descriptor.inputs?.map((input) => input.replace(/^\?/, "")) ?? [];
    assert(declared.includes(name), `there is no input ${name}`);
    return new Sample(this.stage, this.parameters, { ...this.inputs, [name]: value });
  }

  /** The context. */
  context() {
    const { name, parameters = [], credentials = [], volumes = [] } = this.stage.descriptor;
    const defaults = parameters.flatMap((p) => (p.default === undefined ? [] : [[p.name, p.default]]));
    return new Context({
      run: "ilab",
      namespace: "demo",
      prefix: `ilab-${name}`,
      parameters: { ...Object.fromEntries(defaults), ...this.parameters },
      inputs: this.inputs,
      credentials: credentials.map((c) => ({
        name: c.name,
        keys: Object.fromEntries(
          [...c.requiredKeys, ...(c.optionalKeys ?? [])].map((key) => [key, { kind: "Secret", name: c.name }]),
        ),
      })),
      volumes: Object.fromEntries(volumes.map((v) => [v.name, `ilab-${v.name}`])),
    });
  }

  /** The plan. */
  render() {
    return this.stage.render(this.context());
  }

  /** The plan's object of this kind. @param {string} kind @returns {Manifest} */
  object(kind) {
    const found = this.render().manifests.find((manifest) => manifest.kind === kind);
    assert(found, `the plan has no ${kind}`);
    return found;
  }

  /** The outputs from logs, one for each excerpt that the plan asks for. @param {...string} logs */
  collect(...logs) {
    const sources = this.render().excerpts;
    assert.equal(logs.length, sources.length, `the plan reads ${sources.length} logs`);
    const excerpts = sources.map(({ object, container }, at) => ({ source: object, container, text: logs[at] ?? "" }));
    return this.stage.collect?.(this.context(), excerpts) ?? collect(this.stage.descriptor, excerpts);
  }

  /** Compares the plan with a file; with BLESS=1 in the environment it writes the file instead. @param {string} file */
  golden(file) {
    const text = `${JSON.stringify(this.render(), null, 2)}\n`;
    if (process.env.BLESS) {
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
      return;
    }
    assert(existsSync(file), `${file} is missing; BLESS=1 writes it`);
    assert.equal(text, readFileSync(file, "utf8"), `${file}; BLESS=1 accepts it`);
  }
}
