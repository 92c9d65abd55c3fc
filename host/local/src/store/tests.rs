use super::*;
use serde_json::json;

fn resource(name: &str) -> Option<&'static str> {
    (name == "/configmaps").then_some("/configmaps")
}

fn key(name: &str) -> Key {
    Key { resource: "/configmaps", namespace: "default".into(), name: name.into() }
}

fn open(folder: &Path) -> Store {
    Store::open(folder, resource).unwrap()
}

fn file(folder: &Path) -> std::path::PathBuf {
    folder.join("objects.log")
}

#[test]
fn what_was_acknowledged_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let one = store.put(key("a"), None, &mut json!({"metadata": {}, "n": 1})).unwrap();
    store.put(key("b"), None, &mut json!({"metadata": {}})).unwrap();
    let two = store.put(key("a"), Some(one.version), &mut json!({"metadata": {}, "n": 2})).unwrap();
    store.remove(&key("b"), 2, &mut json!({"metadata": {}})).unwrap();
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.version(), 4);
    assert_eq!(store.get(&key("a")).unwrap().object, two.object);
    assert!(store.get(&key("b")).is_none());
    // The window of history is there again too.
    let (events, covered) = store.since(1, "/configmaps", None, 10).unwrap();
    let seen: Vec<_> = events.iter().map(|event| (event.version, event.change)).collect();
    assert_eq!(seen, [(2, Change::Added), (3, Change::Modified), (4, Change::Deleted)]);
    assert_eq!(covered, 4);
}

#[test]
fn a_torn_tail_is_cut_wherever_it_was_torn() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.put(key("a"), None, &mut json!({"metadata": {}})).unwrap();
    drop(store);
    let whole = std::fs::read(file(folder.path())).unwrap();
    let store = open(folder.path());
    store.put(key("b"), None, &mut json!({"metadata": {}})).unwrap();
    drop(store);
    let both = std::fs::read(file(folder.path())).unwrap();
    for end in whole.len()..both.len() {
        std::fs::write(file(folder.path()), &both[..end]).unwrap();
        let store = open(folder.path());
        assert_eq!(store.version(), 1, "cut at {end}");
        assert!(store.get(&key("a")).is_some() && store.get(&key("b")).is_none());
        // And it goes on from there.
        store.put(key("c"), None, &mut json!({"metadata": {}})).unwrap();
        drop(store);
        assert_eq!(open(folder.path()).version(), 2);
    }
}

#[test]
fn zeros_at_the_end_are_a_torn_tail() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).put(key("a"), None, &mut json!({"metadata": {}})).unwrap();
    let mut bytes = std::fs::read(file(folder.path())).unwrap();
    bytes.extend_from_slice(&[0; 4096]);
    std::fs::write(file(folder.path()), bytes).unwrap();
    assert_eq!(open(folder.path()).version(), 1);
}

#[test]
fn damage_before_the_end_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.put(key("a"), None, &mut json!({"metadata": {}, "text": "hello"})).unwrap();
    store.put(key("b"), None, &mut json!({"metadata": {}})).unwrap();
    drop(store);
    let mut bytes = std::fs::read(file(folder.path())).unwrap();
    let at = bytes.windows(5).position(|part| part == b"hello").unwrap();
    bytes[at] = b'j';
    std::fs::write(file(folder.path()), bytes).unwrap();
    let error = Store::open(folder.path(), resource).err().unwrap();
    assert!(matches!(error, LogError::Corrupt { offset: 16, .. }), "{error}");
}

#[test]
fn a_foreign_file_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(file(folder.path()), "something else entirely").unwrap();
    assert!(matches!(Store::open(folder.path(), resource), Err(LogError::Foreign { .. })));
    assert_eq!(std::fs::read(file(folder.path())).unwrap(), b"something else entirely");
}

#[test]
fn compaction_keeps_the_objects_and_their_versions() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let kept = store.put(key("kept"), None, &mut json!({"metadata": {}})).unwrap();
    let text = "x".repeat(64 << 10);
    let mut version = None;
    for _ in 0..100 {
        version =
            Some(store.put(key("big"), version, &mut json!({"metadata": {}, "t": text})).unwrap().version);
    }
    let last = store.version();
    drop(store);
    assert!(std::fs::metadata(file(folder.path())).unwrap().len() < 5 << 20);
    let store = open(folder.path());
    assert_eq!(store.version(), last);
    assert_eq!(store.get(&key("kept")).unwrap().version, kept.version);
    assert_eq!(store.get(&key("big")).unwrap().version, version.unwrap());
    // What the compaction forgot is expired, not silently missing.
    assert!(store.since(1, "/configmaps", None, 10).is_err());
    assert!(store.since(last, "/configmaps", None, 10).unwrap().0.is_empty());
}

#[test]
fn a_write_from_an_old_state_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.put(key("a"), None, &mut json!({"metadata": {}})).unwrap();
    let raced = |done: Result<Stored, CommitError>| matches!(done, Err(CommitError::Raced));
    assert!(raced(store.put(key("a"), None, &mut json!({"metadata": {}}))));
    assert!(raced(store.put(key("a"), Some(7), &mut json!({"metadata": {}}))));
    assert!(raced(store.put(key("b"), Some(1), &mut json!({"metadata": {}}))));
    assert_eq!(store.version(), 1);
}

#[test]
fn the_window_is_bounded_and_says_when_it_has_moved_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut version = None;
    for _ in 0..5000 {
        version = Some(store.put(key("a"), version, &mut json!({"metadata": {}})).unwrap().version);
    }
    let expired = store.since(1, "/configmaps", None, 10).unwrap_err();
    assert_eq!(expired.asked, 1);
    let (events, covered) = store.since(expired.oldest, "/configmaps", None, 10).unwrap();
    assert_eq!((events.len(), covered), (10, expired.oldest + 10));
}
