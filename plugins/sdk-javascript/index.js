/**
 * The SDK for authors of ilab-host stages in JavaScript and TypeScript.
 *
 * A stage is an object with a `descriptor`, a `render` and, where the usual one does not fit, a `collect`. The same code is
 * ordinary JavaScript on the author's machine, where it is tested, and a WebAssembly component after `ilab-host plugin
 * build`.
 *
 * Everything that a stage is given has been validated by the schemas that it declared, but it is still foreign text: build
 * commands as lists of arguments, never as shell scripts.
 *
 * @module
 */

export { Context, pathProblem } from "./context.js";
export { StageError } from "./error.js";
export { kinds, output, parameter } from "./descriptor.js";
export { Plan } from "./plan.js";
export * as k8s from "./k8s.js";
export * as log from "./log.js";
export * as outputs from "./outputs.js";
export * as targets from "./targets.js";
