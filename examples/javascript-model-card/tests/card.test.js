import assert from "node:assert/strict";
import { test } from "node:test";
import { Sample } from "../../../plugins/sdk-javascript/testkit.js";
import { card, escape } from "../src/card.js";
import { stages } from "../src/stage.js";

test("what others handed on is text and nothing else", () => {
  assert.equal(escape("<img src=x>|[a](b)\u001b"), "&#60;img src=x&#62;&#124;&#91;a&#93;&#40;b&#41; ");
  const text = card("r", "| x |\n# y", "mit", () => "<script>");
  assert(!text.includes("<script>") && !text.includes("\n# y"));
});

test("what was not measured is said to be", () => {
  assert.match(card("r", "m", "mit", () => undefined), /\| MT-Bench \| not measured \| not measured \|/);
});

test("without a webhook the pod has no secret", () => {
  const sample = new Sample(stages[0])
    .input("mt-bench.best-model", "/data/m")
    .input("mt-bench.best-score", 8);
  assert.match(JSON.stringify(sample.object("Job")), /WEBHOOK_URL.*secretKeyRef/);
  const context = sample.context();
  const bare = Object.assign(context, { data: { ...context.data, credentials: [{ name: "webhook", keys: {} }] } });
  assert.doesNotMatch(JSON.stringify(stages[0].render(bare)), /secretKeyRef/);
});
