/**
 * The stage `model-card`: writes a model card beside the best checkpoint, and tells a webhook where there is one.
 *
 * The card itself is made here, in the sandbox, of what other stages handed on; the pod only puts it in its place.
 *
 * @import { Context } from "../../../plugins/sdk-javascript/index.js"
 * @import { Stage } from "../../../plugins/sdk-javascript/types.js"
 */

import { Plan, k8s, kinds, output, parameter, targets } from "../../../plugins/sdk-javascript/index.js";
import { card } from "./card.js";
import { script } from "./script.js";

const IMAGE = "registry.redhat.io/rhelai1/instructlab-nvidia-rhel9:1.2";
const MODEL = "mt-bench.best-model";

/** @type {Stage} */
const modelCard = {
  descriptor: {
    name: "model-card",
    group: "publish",
    summary: "Writes a model card beside the best checkpoint, and tells a webhook",
    after: ["mt-bench", "?final-eval"],
    inputs: [
      MODEL,
      "mt-bench.best-score",
      "?final-eval.mmlu-candidate",
      "?final-eval.mmlu-base",
      "?final-eval.mt-bench-candidate",
      "?final-eval.mt-bench-base",
    ],
    parameters: [
      parameter.image("image", "Image with Python", { default: IMAGE }),
      parameter.choice("image-pull-policy", "When images are pulled", ["IfNotPresent", "Always", "Never"], {
        default: "IfNotPresent",
      }),
      parameter.string("model-name", "What the model is called", { default: "An InstructLab model" }),
      parameter.string("model-licence", "The model's licence, as model hubs name it", {
        default: "apache-2.0",
        pattern: "^[A-Za-z0-9.-]{1,64}$",
      }),
      parameter.integer("run-as-user", "User id of the processes; -1: what image or cluster say", {
        minimum: -1,
        default: -1,
      }),
      parameter.integer("fs-group", "Group that owns the volumes; -1: what the cluster says", {
        minimum: -1,
        default: -1,
      }),
    ],
    // The URL is as secret as the token: both stay in a Secret of the user's that only the pod reads.
    credentials: [{ name: "webhook", requiredKeys: [], optionalKeys: ["url", "token"] }],
    volumes: [{ name: "data", size: "200Gi" }],
    outputs: [
      output.string("card", "The model card", "/data/model/README.md"),
      { name: "told", help: "Whether a webhook was told", schema: { type: "boolean" }, sample: false },
    ],
    creates: [kinds.configMap, kinds.job],
    licence: "Apache-2.0",
    homepage: "https://github.com/instructlab/ilab-host/tree/main/examples/javascript-model-card",
  },

  /** @param {Context} ctx */
  render(ctx) {
    const name = ctx.text("model-name");
    const text = card(ctx.run, name, ctx.text("model-licence"), (input) => ctx.input(input));
    const files = k8s.configMap(ctx.name("files"), { "README.md": text, "publish.py": script });
    const message = `${name} is trained: run ${ctx.run}`;
    const webhook = ctx.credentialEnv("webhook", {}, { WEBHOOK_URL: "url", WEBHOOK_TOKEN: "token" });
    const settings = { HOME: "/tmp", PYTHONDONTWRITEBYTECODE: "1", PYTHONUNBUFFERED: "1" };
    const env = [...Object.entries(settings).map(([name, value]) => ({ name, value })), ...webhook];
    const container = k8s.container("publish", ctx.text("image"), {
      command: ["python3", "/ilab/files/publish.py", "/ilab/files/README.md", ctx.pathInput(MODEL, "/data"), message],
      env,
      mounts: [k8s.mount("data", "/data"), k8s.mount("files", "/ilab/files", { readOnly: true }), k8s.mount("tmp", "/tmp")],
      requests: { cpu: "100m", memory: "128Mi" },
      pullPolicy: ctx.text("image-pull-policy"),
    });
    const pod = k8s.pod([container], {
      volumes: [
        k8s.volume.claim("data", ctx.claim("data")),
        k8s.volume.configMap("files", files.metadata.name),
        k8s.volume.scratch("tmp"),
      ],
      runAsUser: ctx.integer("run-as-user"),
      fsGroup: ctx.integer("fs-group"),
    });
    const job = k8s.job(ctx.name(), "model-card", pod);
    return new Plan().apply(files).apply(job).wait(targets.job(ctx.name())).read(job, "publish");
  },
};

export const stages = [modelCard];
