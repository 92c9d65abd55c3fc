/**
 * The stage `my-eval`: looks at every checkpoint of training phase 2.
 *
 * What is here says what the cluster is to do. It runs in the host, in a sandbox without files, network or clock; the work
 * itself is done by `script.js`, which is Python, in a pod. TypeScript works as well: name it in package.json.
 *
 * @import { Context } from "../sdk/index.js"
 * @import { Schema, Stage } from "../sdk/types.js"
 */

import { Plan, k8s, kinds, output, parameter, targets } from "../sdk/index.js";
import { script } from "./script.js";

export const CHECKPOINTS = "train-phase-2.checkpoints-dir";
const IMAGE = "registry.redhat.io/rhelai1/instructlab-nvidia-rhel9:1.2";
const SAMPLE = "/data/model/output/ilab/phase_2/hf_format/s";
/** @type {Schema} */
const SCORES = {
  type: "array",
  minItems: 1,
  items: {
    type: "object",
    required: ["model", "score"],
    properties: { model: { type: "string" }, score: { type: "number" } },
  },
};

/** One evaluation of all checkpoints. @type {Stage} */
const evaluation = {
  descriptor: {
    name: "my-eval",
    group: "evaluation",
    summary: "Tells which share of every checkpoint's weights is finite",
    selectedBy: { flag: "eval-type", value: "my-eval" },
    after: ["?train-phase-2"],
    inputs: [CHECKPOINTS],
    parameters: [
      parameter.image("image", "Image with Python, PyTorch and safetensors", { default: IMAGE }),
      parameter.choice("image-pull-policy", "When images are pulled", ["IfNotPresent", "Always", "Never"], {
        default: "IfNotPresent",
      }),
      parameter.integer("run-as-user", "User id of the processes; -1: what image or cluster say", {
        minimum: -1,
        default: -1,
      }),
      parameter.integer("fs-group", "Group that owns the volumes; -1: what the cluster says", {
        minimum: -1,
        default: -1,
      }),
      parameter.quantity("memory", "Memory asked for; empty: none", { default: "4Gi" }),
    ],
    volumes: [{ name: "data", size: "200Gi" }],
    outputs: [
      output.string("best-model", "The best checkpoint", SAMPLE),
      output.number("best-score", "Its score", 1),
      {
        name: "scores",
        help: "The score of each checkpoint",
        schema: SCORES,
        sample: [{ model: SAMPLE, score: 1 }],
      },
    ],
    creates: [kinds.configMap, kinds.job],
    licence: "Apache-2.0",
  },

  /** A Job that runs the script, with the claim that all stages share. @param {Context} ctx */
  render(ctx) {
    const files = k8s.configMap(ctx.name("scripts"), { "evaluate.py": script });
    const container = k8s.container("evaluate", ctx.text("image"), {
      command: ["python3", "/ilab/scripts/evaluate.py", "--checkpoints-dir", ctx.pathInput(CHECKPOINTS, "/data")],
      env: { HOME: "/tmp", PYTHONDONTWRITEBYTECODE: "1", PYTHONUNBUFFERED: "1" },
      mounts: [
        k8s.mount("data", "/data", { readOnly: true }),
        k8s.mount("scripts", "/ilab/scripts", { readOnly: true }),
        k8s.mount("tmp", "/tmp"),
      ],
      requests: { memory: ctx.text("memory") },
      pullPolicy: ctx.text("image-pull-policy"),
    });
    const pod = k8s.pod([container], {
      volumes: [
        k8s.volume.claim("data", ctx.claim("data")),
        k8s.volume.configMap("scripts", files.metadata.name),
        k8s.volume.scratch("tmp"),
      ],
      runAsUser: ctx.integer("run-as-user"),
      fsGroup: ctx.integer("fs-group"),
    });
    const job = k8s.job(ctx.name(), "my-eval", pod);
    return new Plan().apply(files).apply(job).wait(targets.job(ctx.name())).read(job, "evaluate");
  },
};

export const stages = [evaluation];
