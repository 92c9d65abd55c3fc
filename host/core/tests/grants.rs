//! What a component may have: what it asks for, as far as it is granted, as far as every ceiling allows.

use ilab_core::contract::{Context, Credential, Descriptor, Plan, Volume};
use ilab_core::grants::*;
use ilab_core::graph::Offer;
use ilab_core::guard::{self, Policy, harden};
use ilab_core::names::PluginDigest;
use ilab_core::text::is_plain_line;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn digest(of: &str) -> PluginDigest {
    PluginDigest::of(of.as_bytes())
}

fn offer() -> Offer {
    let descriptor: Descriptor = serde_json::from_value(json!({
        "name": "my-eval", "summary": "x", "group": "evaluation", "selected-by": null, "after": [], "parameters": [],
        "credentials": [], "volumes": [], "inputs": [], "outputs": [],
        "creates": [{"api-version": "batch/v1", "kind": "Job"}, {"api-version": "v1", "kind": "ConfigMap"}],
        "licence": null, "homepage": null,
    }))
    .unwrap();
    let credential = Credential {
        name: "judge".into(),
        required_keys: vec!["k".into()],
        optional_keys: Vec::new(),
        config_map_keys: Vec::new(),
    };
    let volume = Volume { name: "data".into(), size: "200Gi".into(), read_only: false };
    let descriptor = Descriptor { credentials: vec![credential], volumes: vec![volume], ..descriptor };
    Offer { descriptor, file: "plugins/my-eval.wasm".into(), digest: digest("a") }
}

fn grants(text: &str) -> Grants {
    let file = parse_grants("grants.yaml", text).unwrap();
    Grants { files: vec![file], looked: vec!["grants.yaml".into()], ..Grants::default() }
}

fn granted(more: &str) -> String {
    format!(
        "apiVersion: {API_VERSION}\nkind: Grant\ndigest: {}\nkinds:\n- {{apiVersion: batch/v1, kind: Job}}\ncredentials: [judge]\nvolumes: [data]\nimages: [quay.io/a]\n{more}\n",
        digest("a")
    )
}

fn context() -> Context {
    Context {
        run: "r".into(),
        namespace: "ml".into(),
        prefix: "r-my-eval".into(),
        parameters: Default::default(),
        inputs: Default::default(),
        credentials: Vec::new(),
        volumes: Vec::new(),
    }
}

fn job(container: Value, spec: Value) -> Value {
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "r-my-eval"},
        "spec": {"template": {"spec": {"containers": [{"name": "main", "image": "quay.io/a/b:1"}]}}}});
    let put = |at: &mut Value, more: Value| {
        if let (Some(at), Value::Object(more)) = (at.as_object_mut(), more) {
            at.extend(more);
        }
    };
    put(&mut job["spec"]["template"]["spec"]["containers"][0], container);
    put(&mut job["spec"], spec);
    harden(&mut job);
    job
}

/// What is refused under a grants file, by rule, with its message.
fn refused(text: &str, manifest: &Value) -> Vec<String> {
    let grants = grants(text);
    let allowance = grants.allow(&offer()).unwrap();
    let grant = guard::Grant::of(&offer(), &context(), allowance);
    let mut all: Vec<String> =
        grants.policy(&Policy::default()).check(manifest, &grant).iter().map(ToString::to_string).collect();
    let beyond = grant.check_resources(std::slice::from_ref(manifest));
    all.extend(beyond.iter().flat_map(|refused| &refused.violations).map(ToString::to_string));
    all
}

#[track_caller]
fn only(text: &str, manifest: &Value, parts: &[&str]) {
    let found = refused(text, manifest);
    assert_eq!(found.len(), 1, "{found:#?}");
    for part in parts {
        assert!(found[0].contains(part), "{part:?} is not in {}", found[0]);
    }
}

#[test]
fn every_unknown_word_lists_the_valid_ones() {
    let start = format!("apiVersion: {API_VERSION}\nkind: ");
    let grant = granted("");
    for (text, parts) in [
        ("[]".to_owned(), &["document 1", "Grant or Ceiling"][..]),
        ("kind: Grant".to_owned(), &["apiVersion: ilab.dev/v1"]),
        ("apiVersion: v2\nkind: Grant".to_owned(), &["this host knows ilab.dev/v1"]),
        (format!("{start}Grand"), &["kind", "\"Grand\"", "did you mean Grant?", "valid: Grant, Ceiling"]),
        (format!("{start}Grant"), &["digest"]),
        (format!("{start}Grant\ndigest: sha256:12"), &["digest", "64 hex digits"]),
        (format!("{start}Grant\nimage: []"), &["\"image\"", "did you mean images?", "credentials, volumes"]),
        (format!("{start}Ceiling\ndigest: x"), &["\"digest\"", "podSecurity, requireDigests"]),
        (format!("{start}Ceiling\npodSecurity: none"), &["podSecurity", "valid: baseline, restricted"]),
        (format!("{grant}kinds2: []"), &["\"kinds2\"", "did you mean kinds?"]),
        (
            granted("exemptions: [{rule: capabilities, value: SYS_ADMIN, reason: x}]"),
            &["exemptions[0]", "valid: IPC_LOCK"],
        ),
        (granted("exemptions: [{rule: privileged, value: x, reason: x}]"), &["valid: capabilities, sysctls"]),
        (granted("exemptions: [{rule: sysctls, value: vm.swappiness, reason: x}]"), &["valid: kernel.sem"]),
        (
            granted("exemptions: [{rule: capabilities, value: IPC_LOCK}]"),
            &["exemptions[0]", "needs a reason"],
        ),
        (granted("exemptions: [{role: x}]"), &["exemptions[0]", "did you mean rule?", "rule, value, reason"]),
        (granted("limits: {gpu: 1}"), &["limits", "\"gpu\"", "nvidia.com/gpu"]),
        (granted("limits: {memory: lots}"), &["limits.memory", "is not a size"]),
        (granted("configMaps: [../x]"), &["configMaps", "lower-case"]),
        (format!("{}---\n{}", granted(""), granted("")), &["documents 1 and 2", "sha256:"]),
        (format!("{start}Ceiling\n---\n{start}Ceiling"), &["documents 1 and 2 are both a Ceiling"]),
        (
            format!("{}---\n{start}Grant\nkinds: [x]", granted("")),
            &["document 2, kinds[0]", "apiVersion, kind"],
        ),
        (format!("{grant}digest: x"), &["document 1"]),
        ("x".repeat(MAX_GRANTS_BYTES + 1), &["more than"]),
    ] {
        let error = parse_grants("g", &text).expect_err(&text).to_string();
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in {error}\n{text:.300}");
        }
        assert!(is_plain_line(&error), "{error}");
    }
    let tagged = granted("").replace("quay.io/a]", "'quay.io/a:1']");
    assert!(parse_grants("g", &tagged).unwrap_err().to_string().contains("no registry"));
    assert_eq!(parse_grants("g", "").unwrap().grants, []);
    assert_eq!(parse_grants("g", "# Nothing yet.\n---\n").unwrap().grants, []);
}

#[test]
fn a_component_without_a_grant_has_nothing() {
    let stranger = Offer { digest: digest("b"), ..offer() };
    let named = granted("plugin: my-eval.wasm\n");
    let withheld = grants(&named).allow(&stranger).unwrap_err();
    let [error @ Withheld::Ungranted { .. }] = withheld.as_slice() else { panic!("{withheld:?}") };
    let text = error.to_string();
    for part in ["plugins/my-eval.wasm", digest("b").short(), "grants.yaml", digest("a").short(), "my-eval"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(
        error.hint().contains("ilab-host plugin grant plugins/my-eval.wasm --grants grants.yaml"),
        "{}",
        error.hint()
    );
    // One of a registry is named as it was let in, with the file that counts for it.
    let file = format!("oci://h.io/team/my-eval:1@{}", digest("d"));
    let remote = Offer { file, digest: digest("b"), ..offer() };
    let address = Address { words: "oci://h.io/team/my-eval:1".into(), grants: "ours/grants.yaml".into() };
    let addresses = BTreeMap::from([(digest("b"), address)]);
    let before = granted("plugin: oci://h.io/team/my-eval:1\n");
    let withheld = Grants { addresses: addresses.clone(), ..grants(&before) }.allow(&remote).unwrap_err();
    let (said, hint) = (withheld[0].to_string(), withheld[0].hint());
    assert!(said.contains(&format!("only one for {}", digest("a").short())), "{said}");
    assert!(hint.starts_with("`ilab-host plugin grant oci://h.io/team/my-eval:1` shows"), "{hint}");
    let hint = Grants { addresses, ..Grants::default() }.allow(&remote).unwrap_err()[0].hint();
    assert!(hint.contains("grant oci://h.io/team/my-eval:1 --grants ours/grants.yaml`"), "{hint}");
    let spaced = Offer { file: "my plugins/it's.wasm".into(), ..offer() };
    let hint = Grants::default().allow(&spaced).unwrap_err()[0].hint();
    assert!(hint.contains(r"plugin grant 'my plugins/it'\''s.wasm'` shows"), "{hint}");
    let let_through = Grants { allow_ungranted: true, ..grants("") }.allow(&stranger).unwrap();
    assert!(!let_through.granted && let_through.kinds == stranger.descriptor.creates);
}

#[test]
fn what_is_asked_for_and_not_granted_is_withheld() {
    let whole = granted("");
    assert!(grants(&whole).allow(&offer()).unwrap().granted);
    let ceiling = format!("{whole}---\napiVersion: {API_VERSION}\nkind: Ceiling\n");
    for (text, parts) in [
        (whole.replace("[judge]", "[]"), &["credential \"judge\"", "its grant (grants.yaml)"][..]),
        (whole.replace("volumes: [data]", ""), &["volume \"data\"", "its grant"]),
        (format!("{ceiling}credentials: [store]"), &["credential \"judge\"", "the ceiling (grants.yaml)"]),
        (format!("{ceiling}volumes: []"), &["volume \"data\"", "the ceiling"]),
        (granted("limits: {storage: 100Gi}"), &["200Gi of storage", "its grant", "allows 100Gi"]),
        (format!("{ceiling}limits: {{storage: 100Gi}}"), &["the ceiling", "allows 100Gi"]),
    ] {
        let withheld = grants(&text).allow(&offer()).unwrap_err();
        assert_eq!(withheld.len(), 1, "{text}\n{withheld:?}");
        let error = withheld[0].to_string();
        for part in parts.iter().chain(&["my-eval", "plugins/my-eval.wasm"]) {
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
    }
    let ungranted = Grants {
        allow_ungranted: true,
        ..grants(&format!("{ceiling}volumes: []").replace(digest("a").as_str(), digest("c").as_str()))
    };
    assert!(ungranted.allow(&offer()).is_err(), "the ceiling holds for everybody");
}

#[test]
fn effective_is_what_is_asked_for_and_granted_and_below_the_ceiling() {
    let plain = job(json!({}), json!({}));
    assert_eq!(refused(&granted(""), &plain), Vec::<String>::new());
    let text =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "r-my-eval"}, "data": {}});
    only(&granted(""), &text, &["[kind-not-granted]"]);
    let ceiling =
        |more: &str| format!("{}---\napiVersion: {API_VERSION}\nkind: Ceiling\n{more}", granted(""));
    only(&ceiling("kinds: [{apiVersion: v1, kind: Pod}]"), &plain, &["[kind-not-granted]"]);
    only(
        &granted(""),
        &job(json!({"image": "quay.io/other/b"}), json!({})),
        &["its grant allows quay.io/a", "[image-registry]"],
    );
    only(&ceiling("images: [docker.io]"), &plain, &["the ceiling allows docker.io", "[image-registry]"]);
    only(&ceiling("images: []"), &plain, &["the ceiling allows no image"]);
    only(&ceiling("requireDigests: true"), &plain, &["[image-digest]"]);
    assert!(
        refused(&ceiling("podSecurity: restricted"), &plain)
            .iter()
            .any(|text| text.ends_with("[run-as-non-root]"))
    );
    let any = granted("").replace("images: [quay.io/a]", "images: ['*']");
    assert_eq!(refused(&any, &job(json!({"image": "busybox"}), json!({}))), Vec::<String>::new());
    let reads = job(json!({"envFrom": [{"configMapRef": {"name": "team"}}]}), json!({}));
    only(&granted(""), &reads, &["[unbound-config-map]"]);
    assert_eq!(refused(&granted("configMaps: [team]"), &reads), Vec::<String>::new());
    only(
        &format!(
            "{}---\napiVersion: {API_VERSION}\nkind: Ceiling\nconfigMaps: []",
            granted("configMaps: [team]")
        ),
        &reads,
        &["[unbound-config-map]"],
    );
}

#[test]
fn exemptions_are_for_one_value_and_are_told() {
    let locks = job(json!({"securityContext": {"capabilities": {"add": ["IPC_LOCK"]}}}), json!({}));
    let exempt = granted("exemptions: [{rule: capabilities, value: IPC_LOCK, reason: RDMA}]");
    only(&granted(""), &locks, &["[capabilities]"]);
    assert_eq!(refused(&exempt, &locks), Vec::<String>::new());
    only(
        &exempt,
        &job(json!({"securityContext": {"capabilities": {"add": ["IPC_LOCK", "SYS_ADMIN"]}}}), json!({})),
        &["add[1]", "SYS_ADMIN"],
    );
    only(
        &exempt,
        &job(json!({"securityContext": {"capabilities": {"add": ["SYS_NICE"]}}}), json!({})),
        &["SYS_NICE"],
    );
    only(
        &format!("{exempt}\n---\napiVersion: {API_VERSION}\nkind: Ceiling\nexemptions: []"),
        &locks,
        &["[capabilities]"],
    );
    let allowance = grants(&exempt).allow(&offer()).unwrap();
    let used = Policy::default().admit(&locks, &guard::Grant::of(&offer(), &context(), allowance)).unwrap();
    assert_eq!(used.len(), 1);
    assert_eq!(
        used[0].to_string(),
        "spec.template.spec.containers[0].securityContext.capabilities.add[0]: \"IPC_LOCK\" by an exemption: RDMA [capabilities]"
    );
    let tuned = |name: &str| json!({"template": {"spec": {"automountServiceAccountToken": false, "securityContext": {"sysctls": [{"name": name, "value": "1"}]}, "containers": [{"name": "a", "image": "quay.io/a/b"}]}}});
    let exempt = granted("exemptions: [{rule: sysctls, value: net.core.somaxconn, reason: many ranks}]");
    assert_eq!(refused(&exempt, &job(json!({}), tuned("net.core.somaxconn"))), Vec::<String>::new());
    only(&exempt, &job(json!({}), tuned("kernel.sem")), &["[sysctls]"]);
}

#[test]
fn resources_are_summed_over_containers_and_pods() {
    let takes = |gpus: u64| json!({"resources": {"limits": {"nvidia.com/gpu": gpus, "memory": "8Gi", "cpu": "1500m"}}});
    let limit = |text: &str| granted(&format!("limits: {text}"));
    let whole = "{nvidia.com/gpu: 8, memory: 32Gi, cpu: 6, pods: 4}";
    let four = job(takes(2), json!({"parallelism": 4}));
    assert_eq!(refused(&limit(whole), &four), Vec::<String>::new());
    only(
        &limit("{nvidia.com/gpu: 7, memory: 32Gi}"),
        &four,
        &["takes 8 of nvidia.com/gpu", "its grant allows 7", "[resource-limit]"],
    );
    only(&limit("{nvidia.com/gpu: 8, memory: 31Gi}"), &four, &["takes 32Gi of memory", "allows 31Gi"]);
    only(&limit("{nvidia.com/gpu: 8, cpu: 5999m}"), &four, &["takes 6 of cpu", "allows 5999m"]);
    only(&limit("{nvidia.com/gpu: 8, pods: 3}"), &four, &["takes 4 of pods"]);
    only(&limit("{memory: 32Gi}"), &four, &["8 of nvidia.com/gpu", "does not name"]);
    only(
        &limit("{memory: 32Gi}"),
        &job(json!({}), json!({})),
        &["limits memory, and nothing here does", "container"],
    );
    only(&limit("{pods: 9}"), &job(json!({}), json!({"parallelism": "many"})), &["[object-shape]", "none"]);
    only(
        &limit("{memory: 1Gi}"),
        &job(json!({"resources": {"limits": {"memory": "lots"}}}), json!({})),
        &["[object-shape]"],
    );
    let ceiling = |limits: &str| {
        format!("{}---\napiVersion: {API_VERSION}\nkind: Ceiling\nlimits: {limits}", granted(""))
    };
    assert_eq!(
        refused(&ceiling("{memory: 32Gi}"), &four),
        Vec::<String>::new(),
        "what a ceiling does not name it does not bound"
    );
    only(&ceiling("{memory: 1Gi}"), &four, &["the ceiling allows 1Gi"]);
    let replica = |count: u64| json!({"replicas": count, "template": four["spec"]["template"]});
    let torch = |elastic: Value| {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "r-my-eval"}, "spec": {
        "elasticPolicy": elastic, "pytorchReplicaSpecs": {"Master": replica(1), "Worker": replica(3)}}})
    };
    assert_eq!(refused(&limit(whole), &torch(Value::Null)), Vec::<String>::new());
    assert_eq!(refused(&limit("{nvidia.com/gpu: 8}"), &torch(json!({"maxReplicas": 100}))).len(), 1);
    let nodes = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "r-my-eval"}, "spec": {"trainer": {"numNodes": 5, "resourcesPerNode": {"limits": {"nvidia.com/gpu": 2}}}}});
    only(&limit("{nvidia.com/gpu: 8}"), &nodes, &["takes 10 of nvidia.com/gpu"]);
    let init = json!({"template": {"spec": {"automountServiceAccountToken": false,
        "initContainers": [{"name": "side", "image": "quay.io/a/b", "restartPolicy": "Always", "resources": {"limits": {"memory": "1Gi"}}},
                           {"name": "first", "image": "quay.io/a/b", "resources": {"limits": {"memory": "6Gi"}}}],
        "containers": [{"name": "a", "image": "quay.io/a/b", "resources": {"limits": {"memory": "2Gi"}}}, {"name": "b", "image": "quay.io/a/b", "resources": {"limits": {"memory": "3Gi"}}}]}}});
    only(&limit("{memory: 6Gi}"), &job(json!({}), init), &["takes 7Gi of memory"]);
    let two = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "r-my-eval-b"}, "spec": four["spec"]});
    let allowance = grants(&limit(whole)).allow(&offer()).unwrap();
    let grant = guard::Grant::of(&offer(), &context(), allowance);
    let beyond = grant.check_resources(&[four.clone(), two]);
    assert_eq!(
        (beyond.len(), beyond[0].object.as_str()),
        (1, "Job/r-my-eval-b"),
        "the one that goes beyond is named"
    );
}

#[test]
fn a_proposal_is_enough_and_no_more() {
    let manifest = job(
        json!({"envFrom": [{"configMapRef": {"name": "team"}}], "resources": {"limits": {"memory": "2Gi", "nvidia.com/gpu": 1}}}),
        json!({}),
    );
    let rendered = |manifest: Value| Rendered {
        offer: offer(),
        context: context(),
        plan: Plan { manifests: vec![manifest], targets: Vec::new(), excerpts: Vec::new() },
    };
    let proposal = propose("my-eval.wasm", &digest("a"), &[rendered(manifest.clone())]);
    assert_eq!(proposal.refused, []);
    let text = document(&proposal.grant, &proposal.unseen);
    assert_eq!(
        text,
        format!(
            "apiVersion: ilab.dev/v1\nkind: Grant\ndigest: {}\nplugin: my-eval.wasm\nkinds:\n- {{apiVersion: batch/v1, kind: Job}}\n\
             - {{apiVersion: v1, kind: ConfigMap}} # declared, but not created with the samples\ncredentials:\n- judge\nvolumes:\n- data\n\
             configMaps:\n- team\nimages:\n- quay.io/a/b\nlimits:\n  memory: \"2Gi\"\n  nvidia.com/gpu: \"1\"\n  pods: \"1\"\n  storage: \"200Gi\"\n",
            digest("a")
        )
    );
    assert_eq!(parse_grants("g", &text).unwrap().grants, [proposal.grant]);
    assert_eq!(refused(&text, &manifest), Vec::<String>::new());
    assert!(
        !refused(
            &text,
            &job(json!({"image": "quay.io/a/c", "resources": {"limits": {"memory": "1Gi"}}}), json!({}))
        )
        .is_empty()
    );
    let locks = job(json!({"securityContext": {"capabilities": {"add": ["IPC_LOCK"]}}}), json!({}));
    let proposal = propose("my-eval.wasm", &digest("a"), &[rendered(locks)]);
    assert!(proposal.grant.exemptions.is_empty());
    assert_eq!(proposal.refused[0].1.rule, "capabilities");
}

#[test]
fn hostile_names_stay_text_in_the_file() {
    for name in [
        "a: b",
        "yes",
        "-x",
        "\u{1b}[2J",
        "two\nlines: x",
        "\"",
        "\\",
        "# no",
        "1e3",
        "ä€😀",
        "\u{2028}",
        "{a}",
        "---",
    ] {
        let grant = PluginGrant {
            plugin: name.to_owned(),
            ..parse_grants("g", &granted("")).unwrap().grants.remove(0)
        };
        let text = document(&grant, &Default::default());
        assert!(text.lines().all(is_plain_line), "{text:?}");
        assert_eq!(parse_grants("g", &text).unwrap().grants, [grant], "{text}");
    }
}

#[test]
fn a_document_is_put_in_place_and_the_rest_stays() {
    let mine = "# Ours.\napiVersion: ilab.dev/v1\nkind: Ceiling # nobody more\nimages: [quay.io]\n";
    let old = format!(
        "{mine}---\n# Asked for by Ada.\n{}plugin: my-eval.wasm\n--- # another\n{}",
        granted(""),
        granted("").replace(digest("a").as_str(), digest("z").as_str())
    );
    let mut grant = parse_grants("g", &old).unwrap().grants.remove(0);
    grant.digest = digest("new");
    let new = splice(&old, &grant, &document(&grant, &Default::default()));
    assert!(new.starts_with(&format!("{mine}---\n# Asked for by Ada.\napiVersion")), "{new}");
    let read = parse_grants("g", &new).unwrap();
    let digests: Vec<_> = read.grants.iter().map(|grant| grant.digest.clone()).collect();
    assert_eq!(digests, [digest("new"), digest("z")], "{new}");
    assert!(read.ceiling.is_some() && new.contains("--- # another\n"));
    assert_eq!(splice(&new, &grant, &document(&grant, &Default::default())), new, "nothing to change");
    let first = splice("", &grant, &document(&grant, &Default::default()));
    assert!(first.starts_with("apiVersion"), "{first}");
    let stranger = PluginGrant { digest: digest("other"), plugin: "other.wasm".into(), ..grant };
    let more = splice(&first, &stranger, &document(&stranger, &Default::default()));
    assert_eq!(parse_grants("g", &more).unwrap().grants.len(), 2, "{more}");
}
