//! What a program need not ask a component twice, and what it must.

use crate::support::{Remember, context, hostile, stage};
use ilab_wasm::{CallProblem, Host, Limits, LoadProblem, Plugin};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A copy of the component and a cache, in a folder of the test's own.
struct Place {
    folder: tempfile::TempDir,
    sink: Arc<Remember>,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), sink: Arc::default() };
        fs::copy(hostile(), place.component()).unwrap();
        place
    }

    fn component(&self) -> PathBuf {
        self.folder.path().join("hostile.wasm")
    }

    fn load(&self) -> Plugin {
        let host = Host::new(Limits::default(), Some(self.folder.path().join("cache"))).unwrap();
        host.with_log_sink(self.sink.clone()).load(&self.component()).unwrap()
    }

    /// Removes the component and its compiled code, so that nobody can ask it anything.
    fn remove(&self) {
        fs::remove_file(self.component()).unwrap();
        for entry in fs::read_dir(self.folder.path().join("cache")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "cwasm") {
                fs::remove_file(path).unwrap();
            }
        }
    }
}

fn cannot_be_asked(plugin: &Plugin) {
    let error = plugin.render(&stage("good"), &context()).unwrap_err();
    assert!(matches!(*error.problem, CallProblem::Load(LoadProblem::Io(_))), "{error}");
}

#[test]
fn what_a_component_says_of_itself_is_remembered_when_somebody_has_found_it_in_order() {
    let place = Place::new();
    let first = place.load();
    let said = first.descriptors().unwrap();
    assert_eq!(place.load().remembered(), None, "to ask is not to find in order");
    first.remember().unwrap();
    let again = place.load();
    assert_eq!(again.remembered(), Some(said));
    assert_eq!((again.wit_version(), again.uses_wasi()), (first.wit_version(), first.uses_wasi()));

    let uncached = Host::new(Limits::default(), None).unwrap().load(hostile()).unwrap();
    uncached.remember().unwrap();
    assert_eq!(uncached.remembered(), None);
}

#[test]
fn a_remembered_component_is_linked_when_it_is_called() {
    let place = Place::new();
    place.load().remember().unwrap();
    let plugin = place.load();
    assert_eq!(plugin.render(&stage("good"), &context()).unwrap().manifests.len(), 1);

    let plugin = place.load();
    place.remove();
    plugin.descriptors().unwrap();
    cannot_be_asked(&plugin);
}

#[test]
fn a_component_that_was_replaced_under_a_loaded_plugin_is_not_called_in_its_name() {
    let place = Place::new();
    place.load().remember().unwrap();
    let plugin = place.load();
    place.remove();
    fs::copy(hostile(), place.component()).unwrap();
    let mut longer = fs::read(hostile()).unwrap();
    longer.extend([0, 2, 1, b'x']);
    fs::write(place.component(), longer).unwrap();
    let error = plugin.render(&stage("good"), &context()).unwrap_err();
    assert!(matches!(*error.problem, CallProblem::Load(LoadProblem::Changed)), "{error}");
}

#[test]
fn a_plan_is_asked_for_once_a_context() {
    let place = Place::new();
    let first = place.load();
    first.remember().unwrap();
    let plan = first.render_once(&stage("good"), &context()).unwrap();
    assert_eq!(plan, first.render(&stage("good"), &context()).unwrap());

    let plugin = place.load();
    place.remove();
    assert_eq!(plugin.render_once(&stage("good"), &context()).unwrap(), plan);
    cannot_be_asked(&plugin);
    let mut other = context();
    other.parameters.insert("size".to_owned(), json!(2));
    assert!(plugin.render_once(&stage("good"), &other).is_err(), "another context is another plan");
    assert!(plugin.render_once(&stage("echo"), &context()).is_err(), "another stage is another plan");
}

#[test]
fn a_stage_that_has_something_to_say_is_asked_every_time() {
    let place = Place::new();
    place.load().remember().unwrap();
    for times in 1..=2 {
        place.load().render_once(&stage("escape"), &context()).unwrap();
        assert_eq!(place.sink.texts().len(), 2 * times);
    }
}

#[test]
fn without_a_cache_nothing_is_remembered() {
    let sink = Arc::new(Remember::default());
    let host = Host::new(Limits::default(), None).unwrap().with_log_sink(sink.clone());
    let plugin = host.load(Path::new(hostile())).unwrap();
    let plan = plugin.render_once(&stage("good"), &context()).unwrap();
    assert_eq!(plan, plugin.render(&stage("good"), &context()).unwrap());
}
