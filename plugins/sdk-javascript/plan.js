/**
 * What a stage wants done.
 *
 * @import { ExcerptSource, Manifest, ObjectRef, Target } from "./types.js"
 */

/** How much of a container's log `collect` gets, unless the plan asks for another amount. */
export const DEFAULT_EXCERPT_BYTES = 256 * 1024;

/** Objects, the targets to wait for, and the logs to read afterwards; built in a chain. */
export class Plan {
  constructor() {
    /** @type {Manifest[]} */
    this.manifests = [];
    /** @type {Target[]} */
    this.targets = [];
    /** @type {ExcerptSource[]} */
    this.excerpts = [];
  }

  /** Adds an object, to be applied after those before it: one of `k8s`, or a manifest of one's own. @param {Manifest} manifest */
  apply(manifest) {
    this.manifests.push(manifest);
    return this;
  }

  /** Adds something to wait for; see `targets`. @param {Target} target */
  wait(target) {
    this.targets.push(target);
    return this;
  }

  /**
   * Hands the end of a container's log to `collect`.
   * @param {Manifest | ObjectRef} object
   * @param {string} container
   * @param {number} [maxBytes]
   */
  read(object, container, maxBytes = DEFAULT_EXCERPT_BYTES) {
    this.excerpts.push({ object: reference(object), container, maxBytes });
    return this;
  }
}

/** Points at an object. @param {Manifest | ObjectRef} object @returns {ObjectRef} */
export function reference(object) {
  const { apiVersion, kind } = object;
  const metadata = /** @type {{ name: string } | undefined} */ ("metadata" in object ? object.metadata : undefined);
  return { apiVersion, kind, name: metadata?.name ?? String(object.name) };
}
