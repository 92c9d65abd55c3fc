//! `show`: what runs ilab-host itself inside the cluster, as objects for kubectl.

use super::request::request;
use crate::args::{CredentialArgs, OutputFormat, ShowArgs, StageFlags};
use crate::load::{Loaded, read_text};
use crate::manifests::{GivenFile, HostJob, account, host_job, list};
use crate::report::{print_data, write_documents};
use crate::{CliError, exit};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command};
use ilab_core::names::{check_label, check_subdomain};
use ilab_core::parameters::Source;
use ilab_engine::RunRequest;
use std::collections::BTreeSet;

/// Options that are for this host or for the Job, not for the host in the pod; `--values`, `--grants` and `--pipeline` are passed on as files.
const NOT_PASSED: [&str; 19] = [
    "grants",
    "pipeline",
    "run",
    "plugins",
    "plugins-lock",
    "allow-unsigned",
    "verification-policy",
    "registry-plain-http",
    "registry-ca-file",
    "namespace",
    "resume-if-started",
    "values",
    "output",
    "image",
    "name",
    "service-account",
    "plugins-inside",
    "run-as-user",
    "local-state",
];

/// Files go into a ConfigMap, which takes 1 MiB with all that belongs to it.
const MAX_FILES: usize = 900 * 1024;

/// Prints the Job, what it runs as, and the values file. Asks no cluster.
///
/// # Errors
/// What `run` would say of the same options; credentials as values; options that mean nothing inside a cluster.
pub fn run(
    args: &ShowArgs,
    loaded: &Loaded,
    flags: &StageFlags,
    matches: &ArgMatches,
    command: &Command,
) -> Result<(), CliError> {
    args.retired.check()?;
    refuse_what_stays_here(args)?;
    no_values_of_credentials(args, loaded, flags, matches)?;
    let request = request(&args.run, loaded, flags, matches)?;
    // What a run would refuse, the Job's run would refuse after a pod was started for it.
    let planned = ilab_engine::plan_all(&request, loaded).map_err(|e| super::run::engine_error(&e))?;
    let job = &args.job;
    let Some(image) = job.image.as_deref().filter(|image| !image.is_empty()) else {
        return Err(CliError::usage("--image is missing: the image that the Job runs").hint(
            "name one that has the program ilab-host and, under --plugins-inside, the stage components",
        ));
    };
    if !ilab_core::guard::is_image(image) {
        return Err(CliError::usage(format!("--image {image:?} is not the name of an image")));
    }
    check_label("Job", &job.name)?;
    let service_account = job.service_account.as_deref().unwrap_or(&job.name);
    check_subdomain("service account", service_account)?;
    super::run::tell_remarks(&planned);
    let files = given_files(args)?;
    let mut objects = Vec::new();
    if job.service_account.is_none() {
        let asks = ilab_engine::asks(&request, &planned).map_err(|e| super::run::engine_error(&e))?;
        objects.extend(account(service_account, &request.namespace, &ilab_cluster::needs(&asks))?);
    }
    objects.extend(host_job(&HostJob {
        name: &job.name,
        namespace: &request.namespace,
        image,
        service_account,
        user: job.run_as_user,
        args: arguments(args, &request, matches, command),
        files,
    })?);
    if args.run.output.output == Some(OutputFormat::Json) {
        return print_data(&list(&objects), args.run.output.output);
    }
    write_documents(&objects)
}

/// What the host in the pod is to read too.
fn given_files(args: &ShowArgs) -> Result<Vec<GivenFile>, CliError> {
    let mut files = Vec::new();
    for (option, key, path) in [
        ("values", "values.yaml", &args.run.values),
        ("grants", "grants.yaml", &args.run.grants),
        ("pipeline", "pipeline.yaml", &args.run.sources.pipeline),
    ] {
        if let Some(path) = path {
            files.push(GivenFile { option, key, text: read_text(path)? });
        }
    }
    let bytes: usize = files.iter().map(|file| file.text.len()).sum();
    if bytes > MAX_FILES {
        let options: Vec<_> = files.iter().map(|file| format!("--{}", file.option)).collect();
        return Err(CliError::usage(format!(
            "{}: {bytes} bytes, more than the {MAX_FILES} that fit into a ConfigMap",
            options.join(" and ")
        )));
    }
    Ok(files)
}

fn refuse_what_stays_here(args: &ShowArgs) -> Result<(), CliError> {
    let at = &args.run.at;
    let here = [
        ("local", at.local),
        ("kubeconfig", at.kubeconfig.is_some()),
        ("context", at.context.is_some()),
        ("local-state", at.state.folder.is_some()),
    ];
    if let Some((name, _)) = here.into_iter().find(|(_, given)| *given) {
        return Err(CliError::usage(format!("--{name} means nothing to `show`, which asks no cluster"))
            .hint("leave it out, and choose the cluster where the output is applied: … | kubectl --context NAME apply -f -"));
    }
    if args.run.dry_run.is_some() {
        return Err(CliError::usage("--dry-run means nothing to `show`, which creates nothing")
            .hint("`ilab-host run … --dry-run` prints what the stages would create"));
    }
    if args.run.resume.is_some() {
        return Err(CliError::usage("--resume is not needed: the Job goes on with a run that has begun")
            .hint("name the run with --run"));
    }
    Ok(())
}

/// An argument of a Job can be read by everybody who may read the Job.
fn no_values_of_credentials(
    args: &ShowArgs,
    loaded: &Loaded,
    flags: &StageFlags,
    matches: &ArgMatches,
) -> Result<(), CliError> {
    let selected = loaded
        .pipeline
        .select(&flags.selection(matches))
        .map_err(|e| CliError::from_error(exit::USAGE, &e))?;
    let needed: BTreeSet<&String> =
        selected.iter().flat_map(|o| o.descriptor.credentials.iter().map(|c| &c.name)).collect();
    let mut findings = Vec::new();
    let mut hints = Vec::new();
    for name in needed {
        let option = CredentialArgs::secret_option(name);
        let given = args.run.credentials.values_given(name);
        if !given.is_empty() {
            findings.push(format!("{} would stand in the Job for everybody to read", given.join(", ")));
        } else if !args.run.credentials.mentions(name) {
            findings.push(format!("the credential {name} is missing: name its Secret with {option}"));
        } else {
            continue;
        }
        let keys = selected
            .iter()
            .flat_map(|o| &o.descriptor.credentials)
            .find(|c| c.name == *name)
            .map(|c| c.required_keys.join(", "))
            .unwrap_or_default();
        hints.push(format!("create a Secret with the keys {keys} and name it with {option}"));
    }
    if findings.is_empty() {
        return Ok(());
    }
    Err(CliError::all(exit::USAGE, findings).hint(hints.join("; ")))
}

/// The arguments of the host in the pod: the options that were given here, and what took effect without one.
fn arguments(args: &ShowArgs, request: &RunRequest, matches: &ArgMatches, command: &Command) -> Vec<String> {
    let mut words = vec!["run".to_owned()];
    words.extend(matches.subcommand_name().map(str::to_owned));
    words.push(format!("--plugins={}", args.job.plugins_inside.display()));
    words.push(format!("--namespace={}", request.namespace));
    words.push(format!("--run={}", request.run));
    words.push("--resume-if-started".to_owned());
    let values_of_credentials = CredentialArgs::value_options();
    for arg in command.get_arguments() {
        let id = arg.get_id().as_str();
        let Some(long) = arg.get_long() else { continue };
        if !matches.try_contains_id(id).unwrap_or(false)
            || NOT_PASSED.contains(&long)
            || values_of_credentials.contains(&long)
        {
            continue;
        }
        let source = matches.value_source(id);
        if !matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable)) {
            continue;
        }
        match arg.get_action() {
            ArgAction::SetTrue => words.extend(matches.get_flag(id).then(|| format!("--{long}"))),
            _ => {
                let values = matches.get_raw(id).into_iter().flatten();
                words.extend(values.map(|value| format!("--{long}={}", value.to_string_lossy())));
            }
        }
    }
    // The environment of this shell is not the pod's. Where it decided, nothing stronger was given.
    for (stage, resolved) in &request.parameters {
        for (parameter, source) in &resolved.sources {
            if matches!(source, Source::Env(_))
                && let Some(value) = resolved.values.get(parameter)
            {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                words.push(format!("--set={stage}.{parameter}={text}"));
            }
        }
    }
    words
}
