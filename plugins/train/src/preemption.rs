//! What on-demand checkpointing asks of the other settings, and of the job.
//!
//! The launcher then calls `instructlab.training.run_training()`, which saves all ranks' state when one of them is told to
//! stop. It composes main_ds's command line itself, from a `TrainingArgs` that does not have every flag: what it would
//! silently leave out is refused here, before a day of training is spent without it.

use crate::settings::Settings;
use ilab_stage_sdk::Error;

/// What the pods get between SIGTERM and SIGKILL. `run_training()` waits up to 300 s for the ranks to save, then 60 s, 60 s
/// and 10 s for torchrun to end; the rest is for the launcher.
pub(crate) const GRACE_SECONDS: i64 = 480;

const PARAMETER: &str = "on-demand-checkpointing";
const MODULE: &str = "instructlab.training.main_ds";
/// `run_training()` names only the folder of the data.
const DATA_FILE: &str = "/data.jsonl";
/// `TrainingArgs` has no other, so main_ds takes its default.
const SCHEDULER: &str = "cosine";

/// The extra arguments that `TrainingArgs` of instructlab-training 0.16.2 can carry, and whether a value follows; the
/// script `trainingargs.py` has the same.
const CARRIED: &[(&str, bool)] = &[
    ("--adamw_beta1", true),
    ("--adamw_beta2", true),
    ("--adamw_eps", true),
    ("--adamw_weight_decay", true),
    ("--block-size", true),
    ("--chat-tmpl-path", true),
    ("--document-column-name", true),
    ("--keep_last_checkpoint_only", false),
    ("--mlflow_experiment_name", true),
    ("--mlflow_run_name", true),
    ("--mlflow_tracking_uri", true),
    ("--tensorboard_log_dir", true),
    ("--trust_remote_code", false),
    ("--use_liger", false),
    ("--validation_frequency", true),
    ("--validation_split", true),
    ("--wandb_entity", true),
    ("--wandb_project", true),
    ("--wandb_run_name", true),
];

/// Refuses what `run_training()` cannot do.
///
/// # Errors
/// The parameter that it cannot carry, and what it can.
pub(crate) fn check(settings: &Settings, data: &str) -> Result<(), Error> {
    if settings.module != MODULE {
        let message = format!("{} cannot be run with {PARAMETER}, which runs {MODULE}", settings.module);
        return Err(Error::parameter("module", message));
    }
    if settings.lr_scheduler != SCHEDULER {
        let message = format!("{} is not possible with {PARAMETER}, only {SCHEDULER}", settings.lr_scheduler);
        return Err(Error::parameter("lr-scheduler", message));
    }
    if !data.ends_with(DATA_FILE) {
        let message = format!("{data} is not called {}, as it has to be", &DATA_FILE[1..]);
        return Err(Error::parameter(PARAMETER, message));
    }
    check_extra_args(&settings.extra_args)
}

fn check_extra_args(extra: &[String]) -> Result<(), Error> {
    let mut value_for: Option<&str> = None;
    for argument in extra {
        let (name, value) =
            argument.split_once('=').map_or((argument.as_str(), None), |(name, value)| (name, Some(value)));
        if let Some(flag) = value_for.take() {
            if argument.starts_with("--") {
                return Err(Error::parameter("extra-args", format!("{flag} lacks its value")));
            }
            continue;
        }
        let Some(&(flag, valued)) = CARRIED.iter().find(|(flag, _)| *flag == name) else {
            let known: Vec<&str> = CARRIED.iter().map(|(flag, _)| *flag).collect();
            let message = format!("{name} is not possible with {PARAMETER}; what is: {}", known.join(", "));
            return Err(Error::parameter("extra-args", message));
        };
        match (valued, value) {
            (true, None) => value_for = Some(flag),
            (false, Some(_)) => {
                return Err(Error::parameter("extra-args", format!("{flag} takes no value")));
            }
            _ => {}
        }
    }
    value_for.map_or(Ok(()), |flag| Err(Error::parameter("extra-args", format!("{flag} lacks its value"))))
}

/// How many restarts the job may have. The operator counts those of all pods together, and a preemption of one pod restarts
/// every other one: counted as they are, a single preemption of a large job would use up all tries.
pub(crate) fn backoff_limit(tries: i32, workers: u32) -> i32 {
    let pods = i32::try_from(workers).unwrap_or(i32::MAX).saturating_add(1);
    tries.saturating_mul(pods)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extra(arguments: &[&str]) -> Result<(), String> {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        check_extra_args(&arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn extra_arguments_that_can_be_carried() {
        assert_eq!(extra(&[]), Ok(()));
        assert_eq!(extra(&["--use_liger", "--adamw_eps=1e-6", "--adamw_beta1", "0.8"]), Ok(()));
        assert_eq!(extra(&["--mlflow_run_name=a=b"]), Ok(()));
    }

    #[test]
    fn extra_arguments_that_would_be_lost() {
        for (arguments, reason) in [
            (&["--NEFTune_alpha=5"] as &[&str], "--NEFTune_alpha is not possible"),
            // Mid-epoch states of LoRA cannot be saved.
            (&["--lora_r=4"], "--lora_r is not possible"),
            (&["stray"], "stray is not possible"),
            (&["--use_liger=yes"], "--use_liger takes no value"),
            (&["--adamw_eps"], "--adamw_eps lacks its value"),
            (&["--adamw_eps", "--use_liger"], "--adamw_eps lacks its value"),
        ] {
            let refused = extra(arguments).unwrap_err();
            assert!(refused.contains(reason), "{arguments:?}: {refused}");
        }
    }

    #[test]
    fn a_preemption_of_one_pod_restarts_all_of_them() {
        assert_eq!(backoff_limit(3, 0), 3);
        assert_eq!(backoff_limit(3, 7), 24);
        assert_eq!(backoff_limit(0, 7), 0);
        assert_eq!(backoff_limit(i32::MAX, u32::MAX), i32::MAX);
    }
}
