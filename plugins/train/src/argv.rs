//! The command line of `instructlab.training.main_ds`.

use crate::settings::Settings;
use ilab_stage_sdk::Error;

/// The command line of the training module: what the reference passes, without `--is_granite`, which today's parser
/// refuses, and with full names instead of abbreviations.
///
/// # Errors
/// When an extra argument repeats a flag that the stage sets: argparse would silently take the last one.
pub fn training_argv(
    settings: &Settings,
    base: &str,
    data: &str,
    output: &str,
) -> Result<Vec<String>, Error> {
    let mut argv: Vec<String> = [
        ("model_name_or_path", base),
        ("data_path", data),
        ("output_dir", output),
        ("num_epochs", &settings.epochs.to_string()),
        ("effective_batch_size", &settings.effective_batch_size.to_string()),
        ("learning_rate", &settings.learning_rate.to_string()),
        ("lr_scheduler", &settings.lr_scheduler),
        ("num_warmup_steps", &settings.num_warmup_steps.to_string()),
        // Has no default, and is compared with 0.
        ("save_samples", "0"),
        ("log_level", "INFO"),
        ("max_batch_len", &settings.max_batch_len.to_string()),
        ("seed", &settings.seed.to_string()),
        // Its default, DeepSpeed, is no dependency of the package any more.
        ("distributed_training_framework", "fsdp"),
        ("fsdp_sharding_strategy", &settings.fsdp_sharding_strategy),
    ]
    .into_iter()
    .map(|(flag, value)| format!("--{flag}={value}"))
    .collect();
    argv.push("--checkpoint_at_epoch".into());
    // With the shared output folder this is what a restarted rank goes on from.
    argv.push("--accelerate_full_state_at_epoch".into());
    for (wanted, flag) in [
        (settings.cpu_offload_optimizer, "--cpu_offload_optimizer"),
        (settings.cpu_offload_params, "--cpu_offload_params_fsdp"),
        (settings.disable_flash_attn, "--disable_flash_attn"),
    ] {
        if wanted {
            argv.push(flag.into());
        }
    }
    for extra in &settings.extra_args {
        let name = extra.split('=').next().unwrap_or(extra);
        let known = argv.iter().find(|known| name.starts_with("--") && known.split('=').next() == Some(name));
        if known.is_some() {
            return Err(Error::parameter("extra-args", format!("{name} is set by the stage already")));
        }
    }
    argv.extend(settings.extra_args.iter().cloned());
    Ok(argv)
}
