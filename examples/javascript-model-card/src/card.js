/**
 * The model card: Markdown made of what the run's other stages handed on. Their outputs came from logs, so every text is
 * escaped.
 *
 * @import { Json } from "../../../plugins/sdk-javascript/types.js"
 */

/** Text that Markdown and HTML take for nothing but text. @param {string} text */
export const escape = (text) =>
  text.replace(/[\u0000-\u001f\u007f]/g, " ").replace(/[\\`*_{}[\]()#+!|~<>&-]/g, (sign) => `&#${sign.charCodeAt(0)};`);

/** @param {Json | undefined} value */
function shown(value) {
  if (value === undefined || value === null) return "not measured";
  return typeof value === "number" ? String(Math.round(value * 1000) / 1000) : escape(String(value));
}

/**
 * @param {string} run
 * @param {string} name
 * @param {string} licence
 * @param {(input: string) => Json | undefined} input
 */
export function card(run, name, licence, input) {
  const rows = [
    ["MT-Bench", input("mt-bench.best-score"), undefined],
    ["MMLU of the taxonomy", input("final-eval.mmlu-candidate"), input("final-eval.mmlu-base")],
    ["MT-Bench of the taxonomy", input("final-eval.mt-bench-candidate"), input("final-eval.mt-bench-base")],
  ];
  const scores = rows.map(([what, candidate, base]) => `| ${what} | ${shown(candidate)} | ${shown(base)} |`);
  return [
    "---",
    `license: ${JSON.stringify(licence)}`,
    "tags: [instructlab]",
    "---",
    "",
    `# ${escape(name)}`,
    "",
    `Trained by InstructLab, run ${escape(run)}.`,
    "",
    "| evaluation | this model | its base |",
    "| --- | --- | --- |",
    ...scores,
    "",
    `Checkpoint: ${shown(input("mt-bench.best-model"))}`,
    "",
  ].join("\n");
}
