/**
 * Ready predicates for the usual workloads. They look only at conditions whose status is `True`, never at counters: a Job
 * whose first pod failed and whose second one runs has neither failed nor succeeded.
 *
 * @import { ObjectRef, Target } from "./types.js"
 */

import { kinds } from "./descriptor.js";

/** A predicate: the object has a condition of this type whose status is `True`. @param {string} kind */
export const condition = (kind) => `condition(object, "${kind}")`;

/** The reason and message of that condition; only where it is there. @param {string} kind */
export const conditionText = (kind) =>
  `object.status.conditions.filter(c, c.type == "${kind}" && c.status == "True")` +
  `.map(c, (has(c.reason) ? c.reason : "${kind}")` +
  ` + (has(c.message) && c.message != "" ? ": " + c.message : ""))[0]`;

/** @param {readonly string[]} kinds @param {string} otherwise */
function reason(kinds, otherwise) {
  const told = kinds.map((kind) => `${condition(kind)} ? ${conditionText(kind)} : `).join("");
  return `${told}object == null ? "not created yet" : ${otherwise}`;
}

/** @param {ObjectRef} object @param {string} succeeded @param {string} reason @returns {Target} */
const byCondition = (object, succeeded, reason) => ({
  object,
  succeeded: condition(succeeded),
  failed: condition("Failed"),
  reason,
});

/** A Job that is to complete. @param {string} name */
export function job(name) {
  const active =
    'has(object.status) && has(object.status.active) && object.status.active > 0 ? "a pod is active" : "no pod is active"';
  return byCondition({ ...kinds.job, name }, "Complete", reason(["Failed", "Suspended"], active));
}

/** A PyTorchJob that is to succeed. Its `Running` condition may stay True for ever; it is not looked at. @param {string} name */
export function pytorchJob(name) {
  const created = `${condition("Created")} ? ${conditionText("Created")} : "the training operator has not looked at it yet"`;
  const kindsOf = ["Failed", "Suspended", "Restarting", "Running"];
  return byCondition({ ...kinds.pytorchJob, name }, "Succeeded", reason(kindsOf, created));
}

/** A TrainJob that is to complete. `Suspended=False` stays behind after a resume, and means nothing. @param {string} name */
export function trainJob(name) {
  const otherwise = '"not finished, as far as the trainer says"';
  return byCondition({ ...kinds.trainJob, name }, "Complete", reason(["Failed", "Suspended"], otherwise));
}
