// The SDK's own promises: `node --test tests/*.test.js`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Context, Plan, StageError, k8s, kinds, output, outputs, pathProblem, targets } from "../index.js";

const source = { ...kinds.job, name: "j" };

test("the last outputs line counts and what surrounds it does not", () => {
  const log = 'ILAB_OUTPUTS {"a":1}\nnoise ILAB_OUTPUTS {"a":9}\nILAB_OUTPUTS {"a":2}\r\ntrailing';
  assert.deepEqual(outputs.fromLog(log), { a: 2 });
});

test("what is no outputs line is an error and not an empty result", () => {
  const deep = `ILAB_OUTPUTS {"a":${"[".repeat(100_000)}`;
  for (const log of ["", "nothing", "ILAB_OUTPUTS", "ILAB_OUTPUTS []", 'ILAB_OUTPUTS {"a":NaN}', deep]) {
    assert.throws(() => outputs.fromLog(log), StageError, log.slice(0, 40));
  }
});

test("only declared outputs are kept and all of them are needed", () => {
  const declared = [output.count("a", "", 1), output.count("b", "", 1)];
  const descriptor = { name: "s", group: "g", summary: "x", creates: [], outputs: declared };
  const both = [
    { source, container: "c", text: 'ILAB_OUTPUTS {"a":1,"extra":2}' },
    { source, container: "d", text: 'ILAB_OUTPUTS {"b":3,"__proto__":{}}' },
  ];
  assert.deepEqual(outputs.collect(descriptor, both), { a: 1, b: 3 });
  assert.throws(() => outputs.collect(descriptor, both.slice(0, 1)), /output b/);
});

test("paths of other stages are plain and below the root", () => {
  assert.equal(pathProblem("/data/model", "/data"), undefined);
  for (const path of ["/data", "/database/x", "/data/../etc", "/data/a b", "/data//x", "/data/.hidden", "/data/$(x)"]) {
    assert.notEqual(pathProblem(path, "/data"), undefined, path);
  }
});

/** @param {Partial<import("../types.js").ContextData>} data */
const context = (data) =>
  new Context({ run: "r", namespace: "n", prefix: "p", parameters: {}, inputs: {}, credentials: [], volumes: {}, ...data });

test("only bound keys reach the environment", () => {
  const ctx = context({
    credentials: [{ name: "judge", keys: { url: { kind: "ConfigMap", name: "details" } } }],
  });
  assert.deepEqual(ctx.credentialEnv("judge", { URL: "url" }, { CA: "ca" }), [
    { name: "URL", valueFrom: { configMapKeyRef: { key: "url", name: "details" } } },
  ]);
  assert.throws(() => ctx.credentialEnv("judge", { CA: "ca" }), /judge has no key ca/);
  assert.throws(() => ctx.credentialEnv("other", {}), /other is not bound/);
});

test("a value of another type is refused by its name", () => {
  const ctx = context({ parameters: { n: "1", f: 1.5 } });
  assert.throws(() => ctx.integer("n"), (error) => error instanceof StageError && error.parameter === "n");
  assert.throws(() => ctx.integer("f"), /whole/);
  // What every object has is no parameter.
  assert.throws(() => ctx.parameter("toString"), /does not declare/);
  assert.equal(ctx.input("constructor"), undefined);
});

test("a training has a master, workers and an end", () => {
  const job = k8s.pytorchJob("t", "a", k8s.pod([k8s.container("pytorch", "i")]), { workers: 2 });
  const plan = new Plan().apply(job).wait(targets.pytorchJob("t")).read(job, "pytorch");
  assert.match(JSON.stringify(job), /"Worker":\{"replicas":2/);
  assert.match(JSON.stringify(job), /"runPolicy":\{"backoffLimit":3\}/);
  assert.deepEqual(plan.targets[0]?.object, plan.excerpts[0]?.object);
});
