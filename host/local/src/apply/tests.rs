use super::*;
use crate::schema::shape;
use proptest::prelude::*;
use serde_json::json;

fn by(manager: &str) -> Who {
    Who::apply(manager.to_owned(), "v1".to_owned(), "")
}

fn pod(containers: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": containers}})
}

/// Applies to a live object, as the server does.
fn applied(live: &Value, config: &Value, manager: &str, force: bool) -> Result<Value, ApplyError> {
    let (mut made, managers) = apply(shape("core.v1.Pod"), live, config, &by(manager), force, "now")?;
    managers.write(&mut made);
    Ok(made)
}

fn start() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}})
}

fn names(pod: &Value) -> Vec<&str> {
    pod["spec"]["containers"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect()
}

#[test]
fn the_applied_order_wins_and_others_keep_their_place() {
    let c = |name: &str| json!({"name": name, "image": "x"});
    let live = applied(&start(), &pod(json!([c("a"), c("b"), c("c")])), "one", false).unwrap();
    let live = applied(&live, &pod(json!([c("x"), c("b"), c("y")])), "two", false).unwrap();
    assert_eq!(names(&live), ["a", "x", "b", "c", "y"]);
}

#[test]
fn an_item_goes_when_its_last_owner_leaves_it() {
    let both = json!([{"name": "a", "image": "x"}, {"name": "b", "image": "x"}]);
    let live = applied(&start(), &pod(both), "one", false).unwrap();
    let live = applied(&live, &pod(json!([{"name": "b", "image": "x"}])), "two", false).unwrap();
    let live = applied(&live, &pod(json!([{"name": "a", "image": "x"}])), "one", false).unwrap();
    assert_eq!(names(&live), ["a", "b"]);
    let live = applied(&live, &pod(json!([])), "two", false).unwrap();
    assert_eq!(names(&live), ["a"]);
}

#[test]
fn a_field_of_a_shared_item_goes_alone() {
    let live =
        applied(&start(), &pod(json!([{"name": "a", "image": "x", "workingDir": "/w"}])), "one", false)
            .unwrap();
    let live = applied(&live, &pod(json!([{"name": "a", "command": ["c"]}])), "two", false).unwrap();
    let live = applied(&live, &pod(json!([{"name": "a", "image": "x"}])), "one", false).unwrap();
    assert_eq!(live["spec"]["containers"], json!([{"name": "a", "image": "x", "command": ["c"]}]));
}

#[test]
fn atomic_lists_are_contested_as_a_whole() {
    let live = applied(&start(), &pod(json!([{"name": "a", "command": ["x", "y"]}])), "one", false).unwrap();
    let other = pod(json!([{"name": "a", "command": ["x", "z"]}]));
    let Err(ApplyError::Conflicts(conflicts)) = applied(&live, &other, "two", false) else { panic!() };
    let fields: Vec<_> = conflicts.iter().map(|conflict| conflict.field.as_str()).collect();
    assert_eq!(fields, [".spec.containers[name=\"a\"].command"]);
    let live = applied(&live, &other, "two", true).unwrap();
    assert_eq!(live["spec"]["containers"][0]["command"], json!(["x", "z"]));
}

#[test]
fn ports_are_told_apart_by_number_and_protocol() {
    let config = pod(json!([{"name": "a", "ports": [
        {"containerPort": 53}, {"containerPort": 53, "protocol": "UDP"},
    ]}]));
    let live = applied(&start(), &config, "one", false).unwrap();
    assert_eq!(live["spec"]["containers"][0]["ports"].as_array().unwrap().len(), 2);
    let twice = pod(json!([{"name": "a", "ports": [
        {"containerPort": 53}, {"containerPort": 53, "protocol": "TCP"},
    ]}]));
    assert!(matches!(applied(&start(), &twice, "one", false), Err(ApplyError::Typed(_))));
}

fn config() -> impl Strategy<Value = Value> {
    let container = (0..4_u8, prop::option::of(0..3_u8), prop::collection::btree_map(0..3_u8, 0..3_u8, 0..3));
    let labels = prop::collection::btree_map("[ab]", "[xy]", 0..3);
    (prop::collection::vec(container, 0..4), labels).prop_map(|(containers, labels)| {
        let mut seen = std::collections::BTreeSet::new();
        let containers: Vec<Value> = containers
            .into_iter()
            .filter(|(name, ..)| seen.insert(*name))
            .map(|(name, image, env)| {
                let env: Vec<Value> = env
                    .iter()
                    .map(|(name, value)| json!({"name": format!("E{name}"), "value": value.to_string()}))
                    .collect();
                // The server drops empty lists before they get here.
                let mut container = json!({"name": format!("c{name}")});
                if !env.is_empty() {
                    container["env"] = json!(env);
                }
                if let Some(image) = image {
                    container["image"] = json!(format!("i{image}"));
                }
                container
            })
            .collect();
        let mut made = if containers.is_empty() { start() } else { pod(json!(containers)) };
        if !labels.is_empty() {
            made["metadata"]["labels"] = json!(labels);
        }
        made
    })
}

proptest! {
    /// Whatever came before: what one applies by force is there, and applying it again changes nothing.
    #[test]
    fn applying_twice_is_applying_once(first in config(), second in config(), third in config()) {
        let live = applied(&start(), &first, "one", true).unwrap();
        let live = applied(&live, &second, "two", true).unwrap();
        let live = applied(&live, &third, "one", true).unwrap();
        let shape = shape("core.v1.Pod");
        let set = typed::fields(shape, &third);
        prop_assert_eq!(set.intersection(&typed::fields(shape, &live)), set);
        let again = applied(&live, &third, "one", false).unwrap();
        prop_assert!(same(&again, &live), "{again}\n{live}");
    }

    /// One manager alone always gets exactly what it applies.
    #[test]
    fn alone_it_is_a_replacement(first in config(), second in config()) {
        let live = applied(&start(), &first, "one", false).unwrap();
        let live = applied(&live, &second, "one", false).unwrap();
        let fresh = applied(&start(), &second, "one", false).unwrap();
        let shape = shape("core.v1.Pod");
        let (mut live, mut fresh) = (typed::fields(shape, &live), typed::fields(shape, &fresh));
        managers::strip(&mut live);
        managers::strip(&mut fresh);
        prop_assert_eq!(live.paths(), fresh.paths());
    }
}
