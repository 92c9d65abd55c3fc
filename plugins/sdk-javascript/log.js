/**
 * Says something to the person who runs the host. Bounded: the host drops what is too much.
 *
 * @typedef {"debug" | "info" | "warn" | "error"} Level
 */

/** @type {(level: Level, message: string) => void} */
let sink = (level, message) => {
  // In Node; the component's engine has none.
  const { console } = /** @type {{ console?: { error(line: string): void } }} */ (/** @type {unknown} */ (globalThis));
  console?.error(`${level}: ${message}`);
};

/** In a component, the host's log. @param {(level: Level, message: string) => void} to */
export function sendTo(to) {
  sink = to;
}

/** Only for whoever looks for a defect. @param {string} message */
export const debug = (message) => sink("debug", message);
/** Worth knowing. @param {string} message */
export const info = (message) => sink("info", message);
/** Probably not what the user wants. @param {string} message */
export const warn = (message) => sink("warn", message);
/** Something went wrong. @param {string} message */
export const error = (message) => sink("error", message);
