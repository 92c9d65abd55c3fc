// Unit tests: `node --test tests/*.test.js`. What the host makes of the component, `ilab-host plugin test` compares with
// tests/cases.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Sample } from "../sdk/testkit.js";
import { CHECKPOINTS, stages } from "../src/stage.js";

const sample = new Sample(stages[0]).input(CHECKPOINTS, "/data/checkpoints");

test("the script gets the folder", () => {
  const { template } = sample.object("Job").spec;
  assert(template.spec.containers[0].command.includes("/data/checkpoints"));
});

test("a folder elsewhere is refused", () => {
  assert.throws(() => sample.input(CHECKPOINTS, "/etc").render(), /not below \/data/);
});
