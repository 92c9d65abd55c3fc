//! Every rule that a violation can name is explained where the hint sends people.

use std::collections::BTreeSet;
use std::path::Path;

/// The texts that stand first in calls of `refuse`, and the rules that are passed on to one.
fn rules(source: &str) -> BTreeSet<String> {
    let rule = |text: &str| {
        let text = text.trim_start().strip_prefix('"')?;
        let name = text.split('"').next()?;
        let kebab = name.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !name.is_empty();
        kebab.then(|| name.to_owned())
    };
    let mut found: BTreeSet<_> = ["refuse(", "check_profile(guard, value,", "rule: "]
        .iter()
        .flat_map(|call| source.split(call).skip(1))
        .filter_map(rule)
        .collect();
    found.extend(source.split('"').filter(|text| text.starts_with("unbound-")).map(str::to_owned));
    found
}

#[test]
fn every_rule_is_documented_and_every_documented_rule_exists() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut exist = BTreeSet::new();
    for entry in std::fs::read_dir(here.join("src/guard")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap() != "tests.rs" {
            exist.extend(rules(&std::fs::read_to_string(path).unwrap()));
        }
    }
    assert!(exist.len() > 40, "{exist:?}");
    let text = std::fs::read_to_string(here.join("../../docs/guard.md")).unwrap();
    let documented: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .flat_map(|line| {
            line.split(" |")
                .next()
                .unwrap()
                .split(", ")
                .map(|rule| rule.trim_matches('`').to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(exist, documented);
}
