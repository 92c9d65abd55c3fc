//! The stage `mt-bench`: scores every checkpoint of training phase 2 with MT-Bench and names the best.

use ilab_stage_sdk::instructlab::{
    self, DATA_ROOT, EvaluationJob, EvaluationSettings, evaluation_job, judge,
};
use ilab_stage_sdk::k8s::{batch::v1::Job, core::v1::ConfigMap};
use ilab_stage_sdk::{Ctx, Descriptor, Error, Output, Parameter, Plan, Stage, export_stages};
use serde::Deserialize;
use serde_json::json;

const NAME: &str = "mt-bench";
const CHECKPOINTS: &str = "train-phase-2.checkpoints-dir";
const OUTPUTS: &str = "/data/ilab/mt-bench.outputs";

/// The scripts of the stage's pod, by file name.
pub const SCRIPTS: &[(&str, &str)] = &[
    ("checkpoints.py", include_str!("../../scripts/checkpoints.py")),
    ("evaluation.py", include_str!("../../scripts/evaluation.py")),
    ("judge.py", include_str!("../../scripts/judge.py")),
    ("mt_bench.py", include_str!("../scripts/mt_bench.py")),
    ("outputs.py", include_str!("../../scripts/outputs.py")),
    ("runner.py", include_str!("../../scripts/runner.py")),
    ("scores.py", include_str!("../scripts/scores.py")),
    ("serving.py", include_str!("../../scripts/serving.py")),
];

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Settings {
    max_error_rate: f64,
}

/// The evaluation of the checkpoints.
pub struct MtBench;

impl Stage for MtBench {
    fn descriptor(&self) -> Descriptor {
        let score = json!({
            "type": "object",
            "required": ["model", "score", "turn-scores", "error-rate"],
            "properties": {
                "model": {"type": "string"},
                "score": {"type": "number"},
                "turn-scores": {"type": "array", "items": {"type": ["number", "null"]}},
                "error-rate": {"type": "number"},
            },
        });
        let best = "/data/model/output/ilab/phase_2/hf_format/samples_7200";
        instructlab::describe(NAME, "evaluation", "Scores every checkpoint with MT-Bench and names the best")
            .selected_by("eval-type", "mt-bench")
            .after("train-phase-2")
            .parameter(
                Parameter::number(
                    "max-error-rate",
                    "Checkpoints with more unusable judgments cannot be the best",
                )
                .minimum(0)
                .maximum(1)
                .default(1),
            )
            .parameters(EvaluationSettings::parameters())
            .credential(judge())
            .input(CHECKPOINTS)
            .output(Output::string("best-model", "The best checkpoint", best))
            .output(Output::new("best-score", "Its score, of 10", json!({"type": "number"}), 7.5))
            .output(Output::new(
                "scores",
                "The score of each checkpoint",
                json!({"type": "array", "minItems": 1, "items": score}),
                json!([{"model": best, "score": 7.5, "turn-scores": [7.8, 7.2], "error-rate": 0.0}]),
            ))
            .creates::<ConfigMap>()
            .creates::<Job>()
    }

    fn name(&self) -> String {
        NAME.into()
    }

    fn render(&self, ctx: &Ctx) -> Result<Plan, Error> {
        let settings: Settings = ctx.parameters()?;
        let checkpoints = ctx.required_path_input(CHECKPOINTS, DATA_ROOT)?;
        let mut arguments: Vec<String> = [
            "--checkpoints-dir",
            checkpoints,
            "--results",
            "/data/mt-bench-results.txt",
            "--best",
            "/data/mt-bench-best.txt",
        ]
        .map(String::from)
        .into();
        if settings.max_error_rate < 1.0 {
            arguments.extend(["--max-error-rate".into(), settings.max_error_rate.to_string()]);
        }
        evaluation_job(
            ctx,
            EvaluationJob {
                app: "eval-mt-bench",
                run: "run-eval-mt-bench",
                print: "output-eval-mt-bench-scores",
                scripts: SCRIPTS,
                script: "mt_bench.py",
                arguments,
                outputs: OUTPUTS,
            },
        )
    }
}

export_stages!(MtBench);
