//! What the loaded stages add to `run` and its like: their flags, the groups as subcommands, and the options that pick a stage.

use super::top::Cli;
use crate::{CliError, exit};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory};
use ilab_core::graph::{FlagInfo, Offer, Pipeline, Selection, SelectorInfo};
use ilab_core::names::StageName;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

/// The stages' part of the command line.
#[derive(Debug, Default)]
pub struct StageFlags {
    flags: Vec<FlagInfo>,
    selectors: Vec<SelectorInfo>,
    groups: Vec<(String, String)>,
    /// Each stage with its group and its component, for messages.
    stages: Vec<(StageName, String, String)>,
}

/// Subcommands of `run` that no stage brings.
const OWN_GROUPS: [&str; 2] = ["help", NO_GROUP];
/// Options that clap brings.
const OWN_FLAGS: [&str; 2] = ["help", "version"];

impl StageFlags {
    /// From the pipeline that was loaded.
    ///
    /// # Errors
    /// Two stages that give one flag different meanings.
    pub fn of(pipeline: &Pipeline) -> Result<Self, Box<ilab_core::graph::GraphError>> {
        let descriptors: Vec<_> = pipeline.stages().iter().map(|o| &o.descriptor).collect();
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut order = Vec::new();
        for offer in pipeline.stages() {
            let group = offer.descriptor.group.to_string();
            if !groups.contains_key(&group) {
                order.push(group.clone());
            }
            groups.entry(group).or_default().push(offer.descriptor.summary.clone());
        }
        let groups = order
            .into_iter()
            .map(|g| (g.clone(), groups.remove(&g).unwrap_or_default().join("; ")))
            .collect();
        let of = |offer: &Offer| {
            let component = format!("{} ({})", offer.file, offer.digest.short());
            (offer.name().clone(), offer.descriptor.group.to_string(), component)
        };
        Ok(Self {
            flags: ilab_core::graph::flags(&descriptors)?,
            selectors: pipeline.selectors(),
            groups,
            stages: pipeline.stages().iter().map(of).collect(),
        })
    }

    /// What was given of the stages' flags: flag and text, in no order that matters.
    pub fn given(&self, matches: &ArgMatches) -> Vec<(String, String)> {
        self.flags
            .iter()
            .filter_map(|f| {
                Some((f.flag.clone(), matches.try_get_one::<String>(&id(&f.flag)).ok()??.clone()))
            })
            .collect()
    }

    /// The environment variables that stages read, with their values.
    pub fn env(&self, pipeline: &Pipeline) -> BTreeMap<String, String> {
        let parameters = pipeline.stages().iter().flat_map(|o| &o.descriptor.parameters);
        parameters
            .filter_map(|p| p.env.clone())
            .filter_map(|name| Some((name.clone(), std::env::var(&name).ok()?)))
            .collect()
    }

    /// The group and what picks stages out of it.
    pub fn selection(&self, matches: &ArgMatches) -> Selection {
        let by = self
            .selectors
            .iter()
            .filter_map(|s| {
                Some((s.flag.clone(), matches.try_get_one::<String>(&id(&s.flag)).ok()??.clone()))
            })
            .collect();
        Selection { group: matches.subcommand_name().map(str::to_owned), by }
    }

    /// What stages claim that is not theirs: options that the host has for itself, and groups that are none.
    fn claimed(&self, own: &BTreeSet<&str>) -> Vec<String> {
        let mut claimed = Vec::new();
        let said = |stage: &StageName, what: String| {
            let component = self.stages.iter().find(|(name, ..)| name == stage).map(|(.., of)| of.as_str());
            format!("{}: stage {stage}: {what}", component.unwrap_or_default())
        };
        for flag in self.flags.iter().filter(|flag| own.contains(flag.flag.as_str())) {
            let what = format!("the option --{} is the host's own", flag.flag);
            claimed.extend(flag.sets.iter().map(|target| said(&target.stage, what.clone())));
        }
        for (stage, group, _) in &self.stages {
            let taken =
                self.selectors.iter().filter(|s| s.group.as_str() == group && own.contains(s.flag.as_str()));
            claimed.extend(taken.map(|s| said(stage, format!("the option --{} is the host's own", s.flag))));
            if OWN_GROUPS.contains(&group.as_str()) {
                claimed.push(said(stage, format!("a group cannot be called {group}")));
            }
        }
        claimed
    }

    /// Adds the flags to a verb, and of the groups those that are named.
    fn add_to(&self, mut run: Command, named: impl Fn(&str) -> bool) -> Command {
        for flag in &self.flags {
            run = run.arg(flag_arg(flag));
        }
        for selector in &self.selectors {
            let values = PossibleValuesParser::new(selector.values.clone());
            run = run.arg(
                Arg::new(id(&selector.flag))
                    .long(selector.flag.clone())
                    .global(true)
                    .value_parser(values)
                    .help(format!("Which stage of `run {}`", selector.group))
                    .help_heading("Selection"),
            );
        }
        for (group, summary) in self.groups.iter().filter(|(group, _)| named(group)) {
            run = run.subcommand(Command::new(group.clone()).about(summary.clone()));
        }
        if named(NO_GROUP) {
            run = run.subcommand(Command::new(NO_GROUP).hide(true).about("Not part of this workflow"));
        }
        run
    }
}

/// The host's own options go by other names than their flags; a stage's must not meet those either.
fn id(flag: &str) -> String {
    format!("stage:{flag}")
}

fn flag_arg(flag: &FlagInfo) -> Arg {
    let default = flag.default().map(|d| match d {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    let mut help = flag.help.clone();
    if let Some(default) = default {
        help.push_str(&format!(" [default: {default}]"));
    }
    if !flag.env.is_empty() {
        help.push_str(&format!(" [env: {}]", flag.env.join(", ")));
    }
    let mut stages: Vec<String> = flag.sets.iter().map(|s| s.stage.to_string()).collect();
    stages.dedup();
    let arg = Arg::new(id(&flag.flag))
        .long(flag.flag.clone())
        .global(true)
        .action(ArgAction::Set)
        .help(help)
        .help_heading(match stages.as_slice() {
            [one] => format!("Stage {one}"),
            _ => "Several stages".to_owned(),
        });
    if flag.schema.get("type").and_then(Value::as_str) == Some("boolean") {
        // `--force-pull` alone means yes, `--force-pull=false` is possible.
        return arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("BOOL");
    }
    match flag.schema.get("enum").and_then(Value::as_array) {
        Some(values) if values.iter().all(Value::is_string) => arg.value_parser(PossibleValuesParser::new(
            values.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>(),
        )),
        // The type is checked with everything else, where all errors are said at once.
        _ => arg
            .value_name(match flag.schema.get("type").and_then(Value::as_str) {
                Some("integer" | "number") => "N",
                _ => "VALUE",
            })
            .allow_hyphen_values(true),
    }
}

/// A group of the reference's that this workflow has not.
const NO_GROUP: &str = "sdg";

/// Verbs that take what `run` takes.
const LIKE_RUN: [&str; 3] = ["run", "show", "doctor"];

/// The whole command line, with what the stages bring to the verb that is asked for. Without one, all that are like `run`
/// get it: to each of them it adds as many options as all stages have.
///
/// # Errors
/// Stages that claim options or groups that are the host's.
pub fn command(stages: &StageFlags, verb: Option<&str>) -> Result<Command, CliError> {
    with_groups(stages, verb, |_| true)
}

fn with_groups(
    stages: &StageFlags,
    verb: Option<&str>,
    named: impl Fn(&str) -> bool,
) -> Result<Command, CliError> {
    let mut cli = Cli::command();
    let asked: Vec<_> = LIKE_RUN.into_iter().filter(|like| verb.is_none_or(|verb| verb == *like)).collect();
    let mut own: BTreeSet<&str> = cli.get_arguments().filter_map(Arg::get_long).chain(OWN_FLAGS).collect();
    let verbs = cli.get_subcommands().filter(|verb| asked.contains(&verb.get_name()));
    own.extend(verbs.flat_map(Command::get_arguments).filter_map(Arg::get_long));
    let claimed = stages.claimed(&own);
    if !claimed.is_empty() {
        return Err(CliError::all(exit::PLUGIN, claimed));
    }
    for verb in asked {
        cli = cli.mut_subcommand(verb, |verb| {
            stages.add_to(verb.subcommand_help_heading("Groups").subcommand_value_name("GROUP"), &named)
        });
    }
    Ok(cli)
}

/// Parses the line.
///
/// Every group takes every flag, so clap gives each of them a copy of all; six groups of hundred flags are a tenth of a dry run. A
/// line that is in order needs only the groups whose names are on it, and what is wrong with another, or help, is said by the whole.
///
/// # Errors
/// As [`command`]; what is wrong with the line is inside.
pub fn parse(
    stages: &StageFlags,
    verb: Option<&str>,
    args: &[OsString],
) -> Result<Result<ArgMatches, clap::Error>, CliError> {
    let on_it = |word: &str| args.iter().any(|arg| arg == word);
    if verb.is_some()
        && !["-h", "--help", "help"].into_iter().any(on_it)
        && let Ok(matches) = with_groups(stages, verb, on_it)?.try_get_matches_from(args)
    {
        return Ok(Ok(matches));
    }
    Ok(command(stages, verb)?.try_get_matches_from(args))
}

/// The verb of a command line that cannot be parsed yet, where it is one that needs stages.
pub fn verb_of(args: &[OsString]) -> Option<String> {
    let verb = args.iter().skip(1).map(|word| word.to_string_lossy());
    // The value of an option that stands before the verb is taken for one, and is none.
    let verb = verb.take_while(|word| word != "--").find(|word| !word.starts_with('-'))?.into_owned();
    (LIKE_RUN.contains(&verb.as_str()) || verb == "rbac").then_some(verb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_hosts_own_is_claimed_by_no_stage() {
        let stages = |descriptor: serde_json::Value| {
            let digest = ilab_core::names::PluginDigest::of(b"");
            let descriptor = serde_json::from_value(descriptor).unwrap();
            let pipeline =
                Pipeline::new(vec![Offer { descriptor, file: "evil.wasm".into(), digest }]).unwrap();
            StageFlags::of(&pipeline).unwrap()
        };
        let described = |group: &str, flag: &str, selector: &str| {
            serde_json::json!({
                "name": "evil", "summary": "x", "group": group, "after": [], "credentials": [], "volumes": [],
                "inputs": [], "outputs": [], "creates": [{"api-version": "batch/v1", "kind": "Job"}],
                "selected-by": {"flag": selector, "value": "x"},
                "parameters": [{"name": "x", "help": "x", "schema": {}, "default": 1, "flag": flag}],
            })
        };
        // What is an option of `show` alone is in the way there.
        for (group, flag, selector, verb, claimed) in [
            ("evil", "evil-size", "evil-kind", None, ""),
            ("evil", "plugins", "evil-kind", Some("run"), "the option --plugins is the host's own"),
            ("evil", "verbose", "evil-kind", Some("doctor"), "the option --verbose is the host's own"),
            ("evil", "version", "evil-kind", Some("run"), "the option --version is the host's own"),
            ("evil", "evil-size", "namespace", Some("run"), "the option --namespace is the host's own"),
            ("evil", "image", "evil-kind", Some("run"), ""),
            ("evil", "image", "evil-kind", Some("show"), "the option --image is the host's own"),
            ("help", "evil-size", "evil-kind", Some("run"), "a group cannot be called help"),
            // What an own option is called inside the program is nobody's.
            ("evil", "folder", "plugins-lock-file", None, ""),
        ] {
            let told = command(&stages(described(group, flag, selector)), verb);
            match told {
                Ok(command) => {
                    command.debug_assert();
                    assert_eq!(claimed, "", "{flag}");
                }
                Err(error) => {
                    let text = &error.lines[0].text;
                    assert!(text.starts_with("evil.wasm (sha256:") && text.ends_with(claimed), "{text}");
                    assert!(!claimed.is_empty(), "{flag}: {text}");
                }
            }
        }
    }

    #[test]
    fn the_verb_is_found_before_the_line_can_be_parsed() {
        let verb = |line: &str| verb_of(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(verb("ilab-host run --plugins a").as_deref(), Some("run"));
        assert_eq!(verb("ilab-host -v run train").as_deref(), Some("run"));
        assert_eq!(verb("ilab-host rbac train").as_deref(), Some("rbac"));
        assert_eq!(verb("ilab-host version"), None);
        assert_eq!(verb("ilab-host"), None);
    }
}
