/**
 * How a container tells its results: one line `ILAB_OUTPUTS {json}`, the last of its kind.
 *
 * @import { Descriptor, Excerpt, Json } from "./types.js"
 */

import { StageError } from "./error.js";

const MARKER = "ILAB_OUTPUTS ";

/**
 * The object in the last line that begins with `ILAB_OUTPUTS `: the last one, because a container that was restarted, or a
 * library that is talkative, may have printed earlier ones.
 * @param {string} text
 * @returns {{ [name: string]: Json }}
 */
export function fromLog(text) {
  const line = text.split("\n").findLast((line) => line.startsWith(MARKER));
  if (line === undefined) throw new StageError("the log has no line that begins with ILAB_OUTPUTS");
  let found;
  try {
    found = JSON.parse(line.slice(MARKER.length));
  } catch (error) {
    throw new StageError(`the ILAB_OUTPUTS line of the log is no JSON object: ${error}`);
  }
  if (found === null || typeof found !== "object" || Array.isArray(found)) {
    throw new StageError("the ILAB_OUTPUTS line of the log is no JSON object");
  }
  return found;
}

/**
 * The declared outputs out of what the excerpts say together; a later excerpt wins.
 * @param {Descriptor} descriptor
 * @param {readonly Excerpt[]} excerpts
 * @returns {{ [name: string]: Json }}
 */
export function collect(descriptor, excerpts) {
  /** @type {Map<string, Json>} */
  const said = new Map();
  for (const excerpt of excerpts) {
    let values;
    try {
      values = fromLog(excerpt.text);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new StageError(`${excerpt.source.name} ${excerpt.container}: ${why}`);
    }
    for (const [name, value] of Object.entries(values)) said.set(name, value);
  }
  /** @type {{ [name: string]: Json }} */
  const outputs = {};
  for (const { name } of descriptor.outputs ?? []) {
    const value = said.get(name);
    if (value === undefined) throw new StageError(`the containers printed no value for the output ${name}`);
    outputs[name] = value;
  }
  return outputs;
}
