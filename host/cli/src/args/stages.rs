//! What the loaded stages add to `run` and its like: their flags, the groups as subcommands, and the options that pick a stage.

use super::top::Cli;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory};
use ilab_core::graph::{FlagInfo, Pipeline, Selection, SelectorInfo};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;

/// The stages' part of the command line.
#[derive(Debug, Default)]
pub struct StageFlags {
    flags: Vec<FlagInfo>,
    selectors: Vec<SelectorInfo>,
    groups: Vec<(String, String)>,
}

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
        Ok(Self { flags: ilab_core::graph::flags(&descriptors)?, selectors: pipeline.selectors(), groups })
    }

    /// What was given of the stages' flags: flag and text, in no order that matters.
    pub fn given(&self, matches: &ArgMatches) -> Vec<(String, String)> {
        self.flags
            .iter()
            .filter_map(|f| Some((f.flag.clone(), matches.try_get_one::<String>(&f.flag).ok()??.clone())))
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
            .filter_map(|s| Some((s.flag.clone(), matches.try_get_one::<String>(&s.flag).ok()??.clone())))
            .collect();
        Selection { group: matches.subcommand_name().map(str::to_owned), by }
    }

    /// Adds the flags to a verb, and of the groups those that are named.
    fn add_to(&self, mut run: Command, named: impl Fn(&str) -> bool) -> Command {
        let taken: Vec<String> =
            run.get_arguments().filter_map(|a| a.get_long().map(str::to_owned)).collect();
        for flag in self.flags.iter().filter(|f| !taken.contains(&f.flag)) {
            run = run.arg(flag_arg(flag));
        }
        for selector in &self.selectors {
            let values = PossibleValuesParser::new(selector.values.clone());
            run = run.arg(
                Arg::new(selector.flag.clone())
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
    let arg = Arg::new(flag.flag.clone())
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
pub fn command(stages: &StageFlags, verb: Option<&str>) -> Command {
    with_groups(stages, verb, |_| true)
}

fn with_groups(stages: &StageFlags, verb: Option<&str>, named: impl Fn(&str) -> bool) -> Command {
    let asked = LIKE_RUN.into_iter().filter(|like| verb.is_none_or(|verb| verb == *like));
    asked.fold(Cli::command(), |cli, verb| {
        cli.mut_subcommand(verb, |verb| {
            stages.add_to(verb.subcommand_help_heading("Groups").subcommand_value_name("GROUP"), &named)
        })
    })
}

/// Parses the line.
///
/// Every group takes every flag, so clap gives each of them a copy of all; six groups of hundred flags are a tenth of a dry run. A
/// line that is in order needs only the groups whose names are on it, and what is wrong with another, or help, is said by the whole.
pub fn parse(stages: &StageFlags, verb: Option<&str>, args: &[OsString]) -> Result<ArgMatches, clap::Error> {
    let on_it = |word: &str| args.iter().any(|arg| arg == word);
    if verb.is_some()
        && !["-h", "--help", "help"].into_iter().any(on_it)
        && let Ok(matches) = with_groups(stages, verb, on_it).try_get_matches_from(args)
    {
        return Ok(matches);
    }
    command(stages, verb).try_get_matches_from(args)
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
    fn the_verb_is_found_before_the_line_can_be_parsed() {
        let verb = |line: &str| verb_of(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(verb("ilab-host run --plugins a").as_deref(), Some("run"));
        assert_eq!(verb("ilab-host -v run train").as_deref(), Some("run"));
        assert_eq!(verb("ilab-host rbac train").as_deref(), Some("rbac"));
        assert_eq!(verb("ilab-host version"), None);
        assert_eq!(verb("ilab-host"), None);
    }
}
