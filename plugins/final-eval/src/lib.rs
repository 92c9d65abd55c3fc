//! The stage `final-eval`: compares the best checkpoint with the base model, knowledge by MMLU on the archive's own
//! questions, skills by MT-Bench on the taxonomy's.

use ilab_stage_sdk::instructlab::{
    self, DATA_ROOT, EvaluationJob, EvaluationSettings, evaluation_job, judge,
};
use ilab_stage_sdk::k8s::{batch::v1::Job, core::v1::ConfigMap};
use ilab_stage_sdk::{Ctx, Descriptor, Error, Output, Parameter, Plan, Stage, export_stages};
use serde::Deserialize;
use serde_json::json;

const NAME: &str = "final-eval";
const CANDIDATE: &str = "mt-bench.best-model";
const BASE: &str = "train-phase-1.base-model";
const OUTPUTS: &str = "/data/ilab/final-eval.outputs";

/// The scripts of the stage's pod, by file name.
pub const SCRIPTS: &[(&str, &str)] = &[
    ("checkpoints.py", include_str!("../../scripts/checkpoints.py")),
    ("comparison.py", include_str!("../scripts/comparison.py")),
    ("evaluation.py", include_str!("../../scripts/evaluation.py")),
    ("final_eval.py", include_str!("../scripts/final_eval.py")),
    ("judge.py", include_str!("../../scripts/judge.py")),
    ("mmlu_tasks.py", include_str!("../scripts/mmlu_tasks.py")),
    ("outputs.py", include_str!("../../scripts/outputs.py")),
    ("runner.py", include_str!("../../scripts/runner.py")),
    ("serving.py", include_str!("../../scripts/serving.py")),
    ("taxonomy.py", include_str!("../scripts/taxonomy.py")),
];

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Settings {
    base_model: String,
    base_branch: String,
    candidate_branch: String,
    few_shots: u32,
    batch_size: String,
}

/// The comparison.
pub struct FinalEval;

fn branch(name: &str, help: &str) -> Parameter {
    Parameter::string(name, help).pattern("^[A-Za-z0-9][A-Za-z0-9._/+-]{0,200}$").default("main")
}

impl Stage for FinalEval {
    fn descriptor(&self) -> Descriptor {
        instructlab::describe(NAME, "evaluation", "Compares the best checkpoint with the base model")
            .selected_by("eval-type", "final")
            .after("mt-bench")
            .parameter(
                Parameter::path(
                    "base-model",
                    "What to compare with; empty: the model that training started from",
                )
                .or_empty()
                .default(""),
            )
            .parameter(branch("base-branch", "Branch of the taxonomy with the questions for the base model"))
            .parameter(branch(
                "candidate-branch",
                "Branch of the taxonomy with the questions for the checkpoint",
            ))
            .parameter(
                Parameter::integer("few-shots", "Examples before each knowledge question")
                    .minimum(0)
                    .maximum(100)
                    .default(5),
            )
            .parameter(
                Parameter::string("batch-size", "Knowledge questions at a time: a number, or auto")
                    .pattern("^(auto|[1-9][0-9]{0,3})$")
                    .default("8"),
            )
            .parameters(EvaluationSettings::parameters())
            .credential(judge())
            .input(CANDIDATE)
            .input("?train-phase-1.base-model")
            .output(Output::optional_number("mmlu-candidate", "Knowledge of the checkpoint, of 1", 0.62))
            .output(Output::optional_number("mmlu-base", "Knowledge of the base model, of 1", 0.58))
            .output(Output::new(
                "mt-bench-candidate",
                "Skills of the checkpoint, of 10",
                json!({"type": "number"}),
                7.1,
            ))
            .output(Output::new(
                "mt-bench-base",
                "Skills of the base model, of 10",
                json!({"type": "number"}),
                6.4,
            ))
            .output(Output::new("error-rate", "Share of unusable judgments", json!({"type": "number"}), 0.0))
            .output(Output::new("mmlu-tasks", "Knowledge by task", json!({"type": "array"}), json!([])))
            .output(Output::new(
                "regressions",
                "Where the checkpoint is worse",
                json!({"type": "array"}),
                json!([]),
            ))
            .creates::<ConfigMap>()
            .creates::<Job>()
    }

    fn name(&self) -> String {
        NAME.into()
    }

    fn render(&self, ctx: &Ctx) -> Result<Plan, Error> {
        let settings: Settings = ctx.parameters()?;
        let candidate = ctx.required_path_input(CANDIDATE, DATA_ROOT)?;
        let base = match settings.base_model.as_str() {
            "" => ctx.path_input(BASE, DATA_ROOT)?.unwrap_or("/data/model"),
            given => given,
        };
        let few_shots = settings.few_shots.to_string();
        let arguments = [
            ("--candidate", candidate),
            ("--base", base),
            ("--taxonomy", "/data/taxonomy"),
            ("--base-branch", &settings.base_branch),
            ("--candidate-branch", &settings.candidate_branch),
            ("--tasks-dir", "/data/data"),
            ("--work-dir", "/tmp/final-eval"),
            ("--mmlu-results", "/data/mmlu-branch-best.txt"),
            ("--mt-bench-results", "/data/mt-bench-branch-best.txt"),
            ("--few-shots", &few_shots),
            ("--batch-size", &settings.batch_size),
        ];
        evaluation_job(
            ctx,
            EvaluationJob {
                app: "eval-final",
                run: "run-eval-final",
                print: "output-eval-final-scores",
                scripts: SCRIPTS,
                script: "final_eval.py",
                arguments: arguments
                    .into_iter()
                    .flat_map(|(flag, value)| [flag.into(), value.into()])
                    .collect(),
                outputs: OUTPUTS,
            },
        )
    }
}

export_stages!(FinalEval);
