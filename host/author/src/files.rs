//! The files of new projects, as they lie in this repository.
//!
//! They are listed, and not globbed, so that nothing that merely lies around gets into the program; a test compares the
//! lists with the folders.

use ilab_wasm::build::Language;

/// A file: where it goes in the project, and its text.
pub(crate) type File = (&'static str, &'static str);

macro_rules! files {
    ($from:literal, $to:literal: $($path:literal),+ $(,)?) => {
        &[$((concat!($to, $path), include_str!(concat!($from, $path)))),+]
    };
}

/// What is written about the project's own name.
pub(crate) struct Sources {
    /// Files in which the template's name is replaced.
    pub(crate) template: &'static [&'static [File]],
    /// Files that are copied.
    pub(crate) copied: &'static [&'static [File]],
}

const WIT: &[File] = &[("wit/stage.wit", ilab_wasm::WIT)];
const CASES: &[File] = files!("../templates/common/", "tests/":
    "cases/default/case.yaml",
    "cases/default/plan.yaml",
    "cases/local/case.yaml",
    "cases/local/plan.yaml",
    "cases/relative-path/case.yaml",
);
const COMMON: &[File] = &[
    (".gitignore", include_str!("../templates/common/gitignore")),
    ("local.yaml", include_str!("../templates/common/local.yaml")),
];
const PYTHON: &[File] = files!("../templates/python/", "":
    "README.md",
    "pyproject.toml",
    "stage/__init__.py",
    "tests/test_stage.py",
);
const EVALUATE: &str = include_str!("../templates/common/evaluate.py");
const PYTHON_SCRIPT: &[File] = &[("stage/evaluate.py", EVALUATE)];
const PYTHON_SDK: &[File] = files!("../../../plugins/sdk-python/", "sdk/":
    "ilab_stage/__init__.py",
    "ilab_stage/component.py",
    "ilab_stage/context.py",
    "ilab_stage/contract.py",
    "ilab_stage/k8s.py",
    "ilab_stage/log.py",
    "ilab_stage/outputs.py",
    "ilab_stage/plan.py",
    "ilab_stage/py.typed",
    "ilab_stage/stage.py",
    "ilab_stage/targets.py",
    "ilab_stage/testkit.py",
);

const JAVASCRIPT: &[File] = files!("../templates/javascript/", "":
    "README.md",
    "package.json",
    "tsconfig.json",
    "src/stage.js",
    "tests/stage.test.js",
);
/// The script as text in a module: a bundler and Node read both the same.
const JAVASCRIPT_SCRIPT: &[File] = &[(
    "src/script.js",
    concat!(
        "/** What the stage's pod runs. */\nexport const script = String.raw`",
        include_str!("../templates/common/evaluate.py"),
        "`;\n"
    ),
)];
const JAVASCRIPT_SDK: &[File] = files!("../../../plugins/sdk-javascript/", "sdk/":
    "component.js",
    "context.js",
    "descriptor.js",
    "error.js",
    "host.d.ts",
    "index.js",
    "k8s.js",
    "log.js",
    "outputs.js",
    "package.json",
    "plan.js",
    "targets.js",
    "testkit.js",
    "types.d.ts",
);
const GO: &[File] =
    files!("../templates/go/", "": "README.md", "go.mod", "main.go", "main_test.go", "stage.json");
const GO_SCRIPT: &[File] = &[("evaluate.py", EVALUATE)];
const GO_SDK: &[File] = files!("../../../plugins/sdk-go/", "sdk/":
    "component_wasip1.go",
    "context.go",
    "contract.go",
    "doc.go",
    "go.mod",
    "internal/bindings/export_ilab_pipeline_stage/stage.go",
    "internal/bindings/ilab_pipeline_host_log/empty.s",
    "internal/bindings/ilab_pipeline_host_log/wit_bindings.go",
    "internal/bindings/ilab_pipeline_stage/empty.s",
    "internal/bindings/ilab_pipeline_stage/wit_bindings.go",
    "internal/bindings/ilab_pipeline_types/empty.s",
    "internal/bindings/ilab_pipeline_types/wit_bindings.go",
    "internal/bindings/wit_exports/wit_exports.go",
    "internal/exports/exports.go",
    "internal/runtime/realloc_wasip1.go",
    "internal/runtime/runtime.go",
    "internal/types/types.go",
    "json.go",
    "k8s.go",
    "log.go",
    "outputs.go",
    "plan.go",
    "stage.go",
    "targets.go",
    "testkit/testkit.go",
);
const RUST: &[File] = files!("../templates/rust/", "": "README.md", "Cargo.toml", "src/lib.rs");
const RUST_SCRIPT: &[File] = &[("src/evaluate.py", EVALUATE)];
/// Its manifest is another than in this repository, where versions are the workspace's.
const RUST_SDK_MANIFEST: &[File] = &[("sdk/Cargo.toml", include_str!("../templates/rust/sdk.Cargo.toml"))];
const RUST_SDK: &[File] = files!("../../../plugins/sdk/", "sdk/":
    "src/bindings.rs",
    "src/context.rs",
    "src/contract.rs",
    "src/descriptor.rs",
    "src/guest.rs",
    "src/instructlab/ca.rs",
    "src/instructlab/common.rs",
    "src/instructlab/evaluation.rs",
    "src/instructlab/mod.rs",
    "src/lib.rs",
    "src/log.rs",
    "src/outputs.rs",
    "src/plan.rs",
    "src/pod.rs",
    "src/pytorch.rs",
    "src/settings.rs",
    "src/stage.rs",
    "src/targets.rs",
    "src/testkit/golden.rs",
    "src/testkit/mod.rs",
    "src/testkit/sample.rs",
    "src/testkit/scripts.rs",
    "src/trainer.rs",
);

/// What a new project of a language is made of.
pub(crate) fn sources(language: Language) -> Sources {
    match language {
        Language::Rust => Sources {
            template: &[COMMON, CASES, RUST, RUST_SCRIPT],
            copied: &[WIT, RUST_SDK_MANIFEST, RUST_SDK],
        },
        Language::Python => {
            Sources { template: &[COMMON, CASES, PYTHON, PYTHON_SCRIPT], copied: &[WIT, PYTHON_SDK] }
        }
        Language::JavaScript => Sources {
            template: &[COMMON, CASES, JAVASCRIPT, JAVASCRIPT_SCRIPT],
            copied: &[WIT, JAVASCRIPT_SDK],
        },
        Language::Go => Sources { template: &[COMMON, CASES, GO, GO_SCRIPT], copied: &[WIT, GO_SDK] },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// Files that only this repository needs.
    const OWN: [(&str, &str); 4] = [
        ("sdk-go", "json_test.go"),
        ("sdk-go", "sdk_test.go"),
        ("sdk-javascript", "tsconfig.json"),
        ("sdk/src", "testkit/checks.rs"),
    ];

    /// The files below a folder, without what tools leave there.
    fn lying_in(folder: &Path) -> BTreeSet<String> {
        const LEFT: [&str; 6] =
            ["__pycache__", "node_modules", "target", ".mypy_cache", ".ruff_cache", "tests"];
        let mut found = BTreeSet::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(&next).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                if path.is_dir() {
                    if !LEFT.contains(&name.as_str()) {
                        folders.push(path);
                    }
                } else {
                    found.insert(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found
    }

    #[test]
    fn every_file_of_an_sdk_is_in_a_new_project() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
        let sdks: [(&str, &str, &[File]); 4] = [
            ("sdk-python/ilab_stage", "sdk/ilab_stage/", PYTHON_SDK),
            ("sdk-javascript", "sdk/", JAVASCRIPT_SDK),
            ("sdk-go", "sdk/", GO_SDK),
            ("sdk/src", "sdk/src/", RUST_SDK),
        ];
        for (folder, prefix, listed) in sdks {
            let listed: BTreeSet<String> = listed
                .iter()
                .map(|(path, _)| path.strip_prefix(prefix).unwrap().to_owned())
                .chain(OWN.iter().filter(|(of, _)| *of == folder).map(|(_, file)| (*file).to_owned()))
                .collect();
            assert_eq!(lying_in(&root.join(folder)), listed, "{folder}");
        }
    }

    #[test]
    fn the_script_can_be_written_as_a_template_literal() {
        assert!(!EVALUATE.contains('`') && !EVALUATE.contains("${"));
    }

    /// The versions of a project's SDK are those that are tested here.
    #[test]
    fn the_rust_sdks_manifests_agree() {
        let there = include_str!("../templates/rust/sdk.Cargo.toml");
        let workspace = include_str!("../../../Cargo.toml");
        let own = include_str!("../../../plugins/sdk/Cargo.toml");
        let mut compared = 0;
        let (_, dependencies) = there.split_once("[dependencies]").unwrap();
        for line in dependencies.lines() {
            let Some((name, spec)) = line.split_once(" = ") else { continue };
            let Some(known) = workspace.lines().find_map(|l| l.strip_prefix(&format!("{name} = "))) else {
                continue;
            };
            if !own.contains(&format!("{name}.workspace")) && !own.contains(&format!("{name} = {{ workspace"))
            {
                continue;
            }
            let version = |text: &str| {
                text.split('"').find(|w| w.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned)
            };
            assert_eq!(version(spec), version(known), "{name}");
            compared += 1;
        }
        assert_eq!(compared, 6, "k8s-openapi, serde, serde_json, serde-saphyr, thiserror and wit-bindgen");
    }
}
