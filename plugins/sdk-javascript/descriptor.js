/**
 * Builders for what a stage declares about itself.
 *
 * @import { Json, Kind, Output, Parameter, Schema } from "./types.js"
 */

/**
 * What a parameter may have besides name and help.
 *
 * @typedef {object} Options
 * @property {Json} [default] The value when nobody gives one; without it the user must give it.
 * @property {string} [flag] The flag of `run` that sets it, without dashes.
 * @property {string} [env] The environment variable that sets it.
 */

/** @typedef {Options & { minimum?: number, maximum?: number }} NumberOptions */
/** @typedef {Options & { pattern?: string }} TextOptions */

const PATH = "^(/[A-Za-z0-9_+@%-][A-Za-z0-9._+@%-]*)+$";
const QUANTITY = "^([0-9]{1,9}(\\.[0-9]{1,9})?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?)?$";
const IMAGE = "^[A-Za-z0-9][A-Za-z0-9._/:@-]{0,511}$";

/**
 * @param {string} name
 * @param {string} help
 * @param {Schema} schema
 * @param {Options} options
 * @returns {Parameter}
 */
function make(name, help, schema, { default: value, flag, env }) {
  return { name, help, schema, default: value, flag, env };
}

/**
 * @param {{ readonly [word: string]: Json | undefined }} words
 * @returns {Schema}
 */
function given(words) {
  /** @type {{ [word: string]: Json }} */
  const some = {};
  for (const [word, value] of Object.entries(words)) {
    if (value !== undefined) some[word] = value;
  }
  return some;
}

/** Settings, by their type. */
export const parameter = {
  /** A whole number. @param {string} name @param {string} help @param {NumberOptions} [options] */
  integer: (name, help, options = {}) =>
    make(name, help, given({ type: "integer", minimum: options.minimum, maximum: options.maximum }), options),
  /** A number. @param {string} name @param {string} help @param {NumberOptions} [options] */
  number: (name, help, options = {}) =>
    make(name, help, given({ type: "number", minimum: options.minimum, maximum: options.maximum }), options),
  /** True or false. @param {string} name @param {string} help @param {Options} [options] */
  boolean: (name, help, options = {}) => make(name, help, { type: "boolean" }, options),
  /**
   * Text. Give it a pattern (ECMA 262, anchored) when it ends up in a command line.
   * @param {string} name @param {string} help @param {TextOptions} [options]
   */
  string: (name, help, options = {}) =>
    make(name, help, given({ type: "string", maxLength: 1024, pattern: options.pattern }), options),
  /** One of several words. @param {string} name @param {string} help @param {readonly string[]} words @param {Options} [options] */
  choice: (name, help, words, options = {}) => make(name, help, { type: "string", enum: words }, options),
  /** A list of texts. @param {string} name @param {string} help @param {TextOptions} [options] */
  strings: (name, help, options = {}) => {
    const items = given({ type: "string", maxLength: 1024, pattern: options.pattern });
    return make(name, help, { type: "array", items, maxItems: 100 }, options);
  },
  /**
   * An absolute path in a pod, without what some program on the way would take for something else.
   * @param {string} name @param {string} help @param {Options} [options]
   */
  path: (name, help, options = {}) => parameter.string(name, help, { ...options, pattern: PATH }),
  /** A Kubernetes quantity such as `16Gi`; empty for none. @param {string} name @param {string} help @param {Options} [options] */
  quantity: (name, help, options = {}) => parameter.string(name, help, { ...options, pattern: QUANTITY }),
  /** A container image reference. @param {string} name @param {string} help @param {Options} [options] */
  image: (name, help, options = {}) => parameter.string(name, help, { ...options, pattern: IMAGE }),
};

/** Values that a stage hands on, by their type, each with a sample for dry runs. */
export const output = {
  /** Text. @param {string} name @param {string} help @param {string} sample @returns {Output} */
  string: (name, help, sample) => ({ name, help, schema: { type: "string", minLength: 1, maxLength: 4096 }, sample }),
  /** A number. @param {string} name @param {string} help @param {number} sample @returns {Output} */
  number: (name, help, sample) => ({ name, help, schema: { type: "number" }, sample }),
  /** A whole number of at least 0. @param {string} name @param {string} help @param {number} sample @returns {Output} */
  count: (name, help, sample) => ({ name, help, schema: { type: "integer", minimum: 0 }, sample }),
};

/** The usual kinds. @satisfies {{ [name: string]: Kind }} */
export const kinds = {
  configMap: { apiVersion: "v1", kind: "ConfigMap" },
  job: { apiVersion: "batch/v1", kind: "Job" },
  pod: { apiVersion: "v1", kind: "Pod" },
  pytorchJob: { apiVersion: "kubeflow.org/v1", kind: "PyTorchJob" },
  trainJob: { apiVersion: "trainer.kubeflow.org/v1alpha1", kind: "TrainJob" },
};
