//! What a component says of itself: names that are not its own, settings that are traps, words that are not what they should be.

use crate::kit::{Trick, described, descriptor, good, job, trick};
use ilab_test_support::Puppet;
use serde_json::{Value, json};

fn says(name: &'static str, more: Value) -> Trick {
    trick(name, &described(more))
}

fn parameter(name: &'static str, more: Value) -> Trick {
    let parameter = json!({"name": "size", "help": "x", "schema": "{}", "default": "1"});
    says(name, json!({"parameters": [crate::kit::put(parameter, more)]}))
}

fn output(name: &'static str, more: Value) -> Trick {
    let output = json!({"name": "score", "help": "x", "schema": "{\"type\": \"number\"}", "sample": "1"});
    says(name, json!({"outputs": [crate::kit::put(output, more)]}))
}

/// Two stages of one component.
fn two(name: &'static str, one: Value, other: Value) -> Trick {
    let other = crate::kit::put(json!({"name": "other"}), other);
    trick(name, &Puppet::new(json!([descriptor(one), descriptor(other)])).plan(&[job(json!({}))]))
}

/// Beside the default stages.
fn beside(name: &'static str, more: Value) -> Trick {
    const COMMAND: &[&str] = &[
        "run",
        "--dry-run",
        "--run",
        "r",
        "--allow-ungranted",
        "--plugins",
        "PLUGINS",
        "--plugins",
        "FILE",
        "--sdg-object-store-secret=s3",
        "--judge-serving-model-secret=judge",
    ];
    Trick { command: COMMAND, ..says(name, more) }
}

fn many(count: usize, one: impl Fn(usize) -> Value) -> Value {
    (0..count).map(one).collect()
}

pub(crate) fn tricks() -> Vec<Trick> {
    let numbered = |i: usize| json!({"name": format!("p-{i}"), "help": "x", "schema": "{}", "default": "1"});
    vec![
        // Names.
        says("no name", json!({"name": ""})),
        says("a name that is a path", json!({"name": "../../etc/passwd"})),
        says("a name with an escape", json!({"name": "ev\u{1b}[2Jil"})),
        says("a name that looks like another", json!({"name": "mt\u{2010}bench"})),
        says("a name of a kilobyte", json!({"name": "e".repeat(1024)})),
        says("a name that is an option", json!({"name": "--plugins"})),
        says("no group", json!({"group": ""})),
        says("a group with a line break", json!({"group": "ev\nil"})),
        beside("takes a default stage's name", json!({"name": "mt-bench"})),
        beside(
            "reads what a default stage has not written yet",
            json!({"inputs": ["train-phase-1.base-model"]}),
        ),
        says("takes the place of the host's help", json!({"group": "help"})),
        says("takes the place of a group that there is not", json!({"group": "sdg"})),
        parameter("takes an option that lets components in", json!({"flag": "allow-ungranted"})),
        parameter("takes an option that says where components are", json!({"flag": "plugins"})),
        parameter("takes an option of all verbs", json!({"flag": "verbose"})),
        parameter("takes the option that explains the others", json!({"flag": "help"})),
        says(
            "is picked by an option of the host's",
            json!({"selected-by": {"flag": "grants", "value": "x"}}),
        ),
        says("is picked by what is no value", json!({"selected-by": {"flag": "x", "value": "$(reboot)"}})),
        two(
            "picks by what is a setting of another",
            json!({"selected-by": {"flag": "kind", "value": "x"}}),
            json!({
                "parameters": [{"name": "kind", "help": "x", "schema": "{}", "default": "1", "flag": "kind"}],
            }),
        ),
        parameter("an option that is none", json!({"flag": "--evil"})),
        two(
            "two meanings of one option",
            json!({"parameters": [{"name": "a", "help": "x", "schema": "{\"type\": \"string\"}", "default": "\"\"", "flag": "size"}]}),
            json!({
                "parameters": [{"name": "b", "help": "x", "schema": "{\"type\": \"integer\"}", "default": "1", "flag": "size"}],
            }),
        ),
        // What it could read of the operator's environment.
        parameter("reads the kubeconfig's place", json!({"env": "KUBECONFIG"})),
        parameter("reads a secret key", json!({"env": "AWS_SECRET_ACCESS_KEY"})),
        parameter("reads a token", json!({"env": "GITHUB_TOKEN"})),
        parameter("reads the password of a key", json!({"env": "COSIGN_PASSWORD"})),
        parameter("reads a proxy with its password", json!({"env": "HTTPS_PROXY"})),
        parameter("reads a variable that is none", json!({"env": "X=Y"})),
        // Lines for people.
        says("no summary", json!({"summary": " "})),
        says("a summary that clears the screen", json!({"summary": "\u{1b}[2Jx"})),
        says("a summary that turns around", json!({"summary": "x\u{202e}y"})),
        says("a summary of two lines", json!({"summary": "x\nerror: y"})),
        says("a summary of ten thousand characters", json!({"summary": "x".repeat(10_000)})),
        says("a licence that clears the screen", json!({"licence": "\u{9b}2J"})),
        says("a homepage that is a program", json!({"homepage": "javascript:alert(1)"})),
        says("a homepage with a bell", json!({"homepage": "https://x/\u{7}"})),
        parameter("help that clears the screen", json!({"help": "\u{1b}[2J"})),
        // Settings.
        parameter("a schema that is no JSON", json!({"schema": "{"})),
        parameter("a schema that is a number", json!({"schema": "7"})),
        parameter(
            "a schema that is read from a file",
            json!({"schema": "{\"$ref\": \"file:///etc/passwd\"}"}),
        ),
        parameter(
            "a schema that is read from elsewhere",
            json!({"schema": "{\"$ref\": \"https://evil.example/x\"}"}),
        ),
        parameter("a schema that is itself", json!({"schema": "{\"$ref\": \"#\"}"})),
        parameter(
            "a pattern that never ends",
            json!({"schema": "{\"type\": \"string\", \"pattern\": \"^(a+)+$(?=x)\"}", "default": "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\""}),
        ),
        parameter(
            "a pattern that is enormous",
            json!({"schema": "{\"type\": \"string\", \"pattern\": \"((a{1000}){1000}){1000}\"}", "default": "\"a\""}),
        ),
        parameter(
            "a schema of a megabyte",
            json!({"schema": format!("{{\"title\": \"{}\"}}", "x".repeat(1 << 20))}),
        ),
        parameter("a default that is no JSON", json!({"default": "evil"})),
        parameter("a default that its schema refuses", json!({"schema": "{\"type\": \"string\"}"})),
        parameter(
            "a default of a hundred kilobytes",
            json!({"default": format!("\"{}\"", "x".repeat(100_000))}),
        ),
        parameter("a parameter that is no word", json!({"name": "si ze"})),
        says("one parameter twice", json!({"parameters": [numbered(1), numbered(1)]})),
        says("a thousand parameters", json!({"parameters": many(1_000, numbered)})),
        says("a thousand stages before it", json!({"after": many(1_000, |i| json!(format!("s-{i}")))})),
        parameter("a parameter that nobody can give", json!({"schema": "false", "default": null})),
        // Other stages.
        says("follows itself", json!({"after": ["evil"]})),
        says("follows what is not there", json!({"after": ["evil-twin"]})),
        two("two stages that follow each other", json!({"after": ["other"]}), json!({"after": ["evil"]})),
        says("reads its own output", json!({"inputs": ["evil.score"]})),
        says("reads what is not there", json!({"inputs": ["sdg-data-fetch.password"]})),
        says("reads what is no output", json!({"inputs": ["../secrets"]})),
        output("a sample that its schema refuses", json!({"sample": "\"high\""})),
        output("a sample that is no JSON", json!({"sample": "NaN"})),
        output("a sample of a parameter that it does not have", json!({"sample-parameter": "evil"})),
        // What it holds.
        says("a volume of no size", json!({"volumes": [{"name": "data", "size": "-1Gi"}]})),
        says("a volume of all there is", json!({"volumes": [{"name": "data", "size": "9999999999E"}]})),
        says("a volume that is a path", json!({"volumes": [{"name": "/", "size": "1Gi"}]})),
        says(
            "a credential that is a path",
            json!({"credentials": [{"name": "../x", "required-keys": ["a"]}]}),
        ),
        says("a key that is no key", json!({"credentials": [{"name": "judge", "required-keys": ["a/b"]}]})),
        says("creates nothing", json!({"creates": []})),
        says(
            "creates a kind that is none",
            json!({"creates": [{"api-version": "batch/v1", "kind": "job;Pod"}]}),
        ),
        says(
            "creates in a version that is none",
            json!({"creates": [{"api-version": "batch/v1/../../v1", "kind": "Job"}]}),
        ),
        Trick {
            name: "a good one that nobody has granted anything",
            command: &["run", "--dry-run", "--plugins", "FILE"],
            ..trick("", &good())
        },
    ]
}
