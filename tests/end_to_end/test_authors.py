"""What stage authors have, in four languages: projects, builds, cases, checks, benchmarks; and bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from kit import ROOT, ended_within, phase, program

LANGUAGES = ["python", "javascript", "go", "rust"]
EXAMPLES = ["python-lm-eval", "javascript-model-card", "go-kueue-training", "rust-trainjob"]
BUILD_BOUND = 1800
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ilab-host"
# What a plan's render may take, in milliseconds (docs/performance.md has what it takes). A machine that others use has
# its say: ten times as much is a failure.
RENDER = {"python": 5.0, "javascript": 1.0, "go": 2.0, "rust": 0.2}


def ended(*command: str | Path, code: int = 0, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Runs ilab-host or a tool; its output when it ends as it must, what it told people when that is not 0."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        # What Rust projects are built on is built once for all of them.
        env=os.environ | {"CARGO_TARGET_DIR": str(CACHE / "target" / "author-tests")} | dict(env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BUILD_BOUND,
        check=False,
    )
    assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "panicked" not in done.stderr, done.stderr
    if code == 0:
        return done.stdout
    assert not done.stdout, f"data was printed: {done.stdout}"
    return done.stderr


def plugin(*words: str | Path, code: int = 0, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Runs `ilab-host plugin`."""
    return ended(program("ILAB_HOST"), "plugin", *words, code=code, cwd=cwd, env=env)


@pytest.fixture(scope="session")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A new project of each language, built."""
    folder = tmp_path_factory.mktemp("projects")
    made = {}
    for language in LANGUAGES:
        made[language] = folder / language / "toxicity"
        with phase(f"a new project in {language}"):
            plugin("new", "toxicity", "--lang", language, "--into", made[language])
            plugin("build", made[language])
    return made


def component(project: Path) -> Path:
    """What `plugin build` made."""
    return project / f"{project.name}.wasm"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_component_says_what_it_is(projects: dict[str, Path], language: str) -> None:
    told: dict[str, Any] = json.loads(plugin("inspect", component(projects[language]), "-o", "json"))
    assert told["contract"] == "ilab:pipeline@0.1.0"
    assert told["metadata"] == {
        "name": "toxicity",
        "version": "0.1.0",
        "description": "An evaluation of every checkpoint, as a stage of ilab-host",
        "licence": "Apache-2.0",
        "homepage": "https://example.com/toxicity",
        "source": "https://example.com/toxicity.git",
        "contract": "0.1.0",
    }
    # Only Go's runtime insists on WASI.
    assert told["usesWasi"] == (language == "go")
    assert [stage["name"] for stage in told["stages"]] == ["toxicity"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_new_project_holds_its_cases_and_passes_the_check(projects: dict[str, Path], language: str) -> None:
    plugin("test", projects[language])
    assert json.loads(plugin("check", component(projects[language]), "--strict", "-o", "json")) == []


def test_all_languages_say_the_same(projects: dict[str, Path]) -> None:
    def said(project: Path) -> tuple[Any, Any]:
        stages = json.loads(plugin("inspect", component(project), "-o", "json"))["stages"]
        plan = json.loads(plugin("render", component(project), "--set", "run-as-user=7", "-o", "json"))
        return stages, plan

    wanted = said(projects["rust"])
    for language in LANGUAGES[:-1]:
        assert said(projects[language]) == wanted, language


def test_the_projects_own_unit_tests_pass(projects: dict[str, Path]) -> None:
    ended("python3", "-m", "unittest", "discover", "tests", cwd=projects["python"], env={"PYTHONPATH": "sdk:."})
    ended("npm", "test", "--silent", cwd=projects["javascript"])
    ended("go", "test", "./...", cwd=projects["go"])
    ended("cargo", "test", "--quiet", cwd=projects["rust"])


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_builds_and_holds_its_cases(tmp_path: Path, example: str) -> None:
    folder = ROOT / "examples" / example
    made = tmp_path / f"{example}.wasm"
    plugin("build", folder, "-f", made)
    plugin("test", made, "--cases", folder / "tests/cases")
    found = json.loads(plugin("check", made, "-o", "json", *example_settings(example)))
    assert [f for f in found if f["severity"] != "note"] == [], found


def test_a_javascript_component_built_again_is_the_same(tmp_path: Path) -> None:
    """Grants and locks go by digest: what has not changed keeps what it has."""
    made = [tmp_path / f"{name}.wasm" for name in ("first", "second")]
    for file in made:
        plugin("build", ROOT / "examples/javascript-model-card", "-f", file)
    assert made[0].read_bytes() == made[1].read_bytes()


class Webhook(BaseHTTPRequestHandler):
    """Keeps what it is told."""

    told: ClassVar[list[tuple[str | None, Any]]] = []

    def do_POST(self) -> None:
        """Takes one message."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.told.append((self.headers["Authorization"], body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def test_the_model_card_lands_beside_the_model_and_the_webhook_is_told(tmp_path: Path) -> None:
    source = ROOT / "examples/javascript-model-card/src/script.js"
    text = f"import {{ script }} from {json.dumps(str(source))}; process.stdout.write(script)"
    script = tmp_path / "publish.py"
    script.write_text(ended("node", "--input-type=module", "--eval", text))
    card, model = tmp_path / "card.md", tmp_path / "model"
    card.write_text("# card")
    told = ended("python3", script, card, model, "trained", code=1)
    assert "holds no model" in told
    model.mkdir()
    (model / "config.json").write_text("{}")
    output = ended("python3", script, card, model, "trained")
    assert json.loads(output.removeprefix("ILAB_OUTPUTS ")) == {"card": str(model / "README.md"), "told": False}
    assert (model / "README.md").read_text() == "# card"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/hook"
        output = ended("python3", script, card, model, "trained", env={"WEBHOOK_URL": url, "WEBHOOK_TOKEN": "t"})
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert json.loads(output.splitlines()[-1].removeprefix("ILAB_OUTPUTS "))["told"] is True
    assert Webhook.told == [("Bearer t", {"text": "trained", "card": str(model / "README.md")})]
    refused = ended("python3", script, card, model, "trained", code=1, env={"WEBHOOK_URL": "file:///etc/passwd"})
    assert "no HTTP URL" in refused


def example_settings(example: str) -> list[str]:
    """What an example cannot do without."""
    return {
        "python-lm-eval": ["--set", 'tasks=["arc_easy"]'],
        "go-kueue-training": ["--set", 'command=["train"]', "--set", "queue-name=q"],
    }.get(example, [])


@pytest.mark.parametrize("language", LANGUAGES)
def test_rendering_is_fast_and_becoming_slower_is_told(
    projects: dict[str, Path], tmp_path: Path, language: str
) -> None:
    file, before = component(projects[language]), tmp_path / "before.json"
    short = ("--seconds", "0.5")
    measured = json.loads(plugin("bench", file, *short, "--save", before, "-o", "json"))
    least = measured["render"]["toxicity"]["least"] / 1000
    print(f"   {language}: {least:.3f} ms")
    assert least < RENDER[language] * 10
    plugin("bench", file, *short, "--baseline", before, "--tolerance", "300")
    measured["render"]["toxicity"]["least"] /= 100
    before.write_text(json.dumps(measured))
    done = subprocess.run(
        [program("ILAB_HOST"), "plugin", "bench", file, *short, "--baseline", before],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 8, done.stderr
    assert "stage toxicity: a render takes" in done.stderr


def test_watching_builds_again_when_a_file_changes(tmp_path: Path) -> None:
    folder = tmp_path / "watched"
    plugin("new", "watched", "--lang", "go", "--into", folder)
    process = subprocess.Popen(
        [program("ILAB_HOST"), "plugin", "build", "--watch", folder],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None

    def until(part: str) -> None:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if part in line:
                return
        raise AssertionError(f"it ended without {part}:\n{''.join(lines)}")

    with ended_within(process, BUILD_BOUND):
        until("Ctrl-C ends it")
        main = folder / "main.go"
        text = main.read_text()
        main.write_text(text.replace("Tells which share", "Says which share"))
        until("Ctrl-C ends it")
        assert "Says which share" in plugin("inspect", component(folder))
        main.write_text("no Go")
        until("go build failed")
        main.write_text(text)
        until("built ")
        process.send_signal(signal.SIGINT)
        process.wait()


def test_what_is_no_project_is_told(tmp_path: Path) -> None:
    told = plugin("build", tmp_path, code=3)
    assert "is no stage's project" in told and "pyproject.toml" in told
    (tmp_path / "go.mod").touch()
    (tmp_path / "package.json").touch()
    told = plugin("build", tmp_path, code=3)
    assert "package.json and go.mod" in told and "--lang" in told
    assert "No such file" in plugin("build", tmp_path / "nowhere", code=2)
    assert "rust, python, javascript, go" in plugin("new", "x", "--lang", "cobol", code=2)
    assert "is not valid" in plugin("new", "My_Eval", "--lang", "python", code=2, cwd=tmp_path)
    assert "is not empty" in plugin("new", "x", "--lang", "python", "--into", tmp_path, code=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["go.mod", "package.json"]


@pytest.mark.parametrize(
    ("language", "file", "told"),
    [
        ("python", "stage/__init__.py", "SyntaxError"),
        ("javascript", "src/stage.js", "src/stage.js"),
        ("go", "main.go", "main.go"),
        ("rust", "src/lib.rs", "does not compile"),
    ],
)
def test_what_does_not_compile_leaves_no_component(tmp_path: Path, language: str, file: str, told: str) -> None:
    folder = tmp_path / "broken"
    plugin("new", "broken", "--lang", language, "--into", folder)
    (folder / file).write_text("this is (no program")
    assert told in plugin("build", folder, code=3)
    assert not list(folder.glob("*.wasm")) and not list(folder.glob(".build-*"))


@pytest.mark.parametrize(
    ("language", "file", "was", "now", "told"),
    [
        ("python", "pyproject.toml", "[tool.ilab-stage]", "[tool.other]", "[tool.ilab-stage]"),
        ("python", "pyproject.toml", "[project]", "[project", "pyproject.toml: "),
        ("python", "pyproject.toml", 'version = "0.1.0"', "", "it has no version"),
        ("python", "pyproject.toml", 'module = "stage"', 'module = "no module"', "no name of a Python module"),
        ("javascript", "package.json", '"src/stage.js"', '"src/other.js"', "src/other.js is not there"),
        ("javascript", "package.json", '"version": "0.1.0",', "", "it has no version"),
        ("go", "stage.json", '"license"', '"licence"', "unknown field"),
        ("go", "stage.json", '"name": "odd",', "", "it has no name"),
    ],
)
def test_a_manifest_that_says_what_it_should_not(
    tmp_path: Path, language: str, file: str, was: str, now: str, told: str
) -> None:
    folder = tmp_path / "odd"
    plugin("new", "odd", "--lang", language, "--into", folder)
    text = (folder / file).read_text()
    assert was in text
    (folder / file).write_text(text.replace(was, now, 1))
    assert told in plugin("build", folder, code=3)


def test_another_version_of_the_contract_is_refused_with_both_named(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    plugin("new", "later", "--lang", "python", "--into", folder)
    wit = folder / "wit/stage.wit"
    wit.write_text(wit.read_text().replace("ilab:pipeline@0.1.0", "ilab:pipeline@0.2.0"))
    plugin("build", folder)
    told = plugin("inspect", component(folder), code=3)
    assert "ilab:pipeline@0.2.0" in told and "ilab:pipeline@0.1.0" in told


def test_the_check_finds_what_is_impure_misspelt_or_forbidden(tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    plugin("new", "bad", "--lang", "go", "--into", folder)
    main = folder / "main.go"
    text = main.read_text()
    text = text.replace('_ "embed"\n', '_ "embed"\n\t"fmt"\n\t"math/rand"\n\t"time"\n')
    text = text.replace(
        'job := stage.NewJob(ctx.Name(), "bad", pod, 2)',
        'job := stage.NewJob(ctx.Name(), "bad", pod, 2)\n'
        '\tjob.Metadata.Annotations = map[string]string{"at": fmt.Sprint(time.Now().Unix(), rand.Int())}\n'
        '\tjob.Spec.Template.Spec.RestartPolicy = "Sometimes"\n'
        '\tjob.Spec.Template.Spec.Volumes[0].Claim.ClaimName = "theirs"\n',
    )
    main.write_text(text)
    plugin("build", folder)
    done = subprocess.run(
        [program("ILAB_HOST"), "plugin", "check", component(folder), "-o", "json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    found = json.loads(done.stdout)
    errors = [f for f in found if f["severity"] == "error"]
    rules = {f["rule"] for f in errors}
    assert "pure" in rules and "schema" in rules and len(rules) >= 3, found
    assert any("annotations.at" in f["message"] for f in errors if f["rule"] == "pure"), found
    assert any("Sometimes" in f["message"] for f in errors if f["rule"] == "schema"), found
    assert any("theirs" in f["message"] for f in errors), found


def test_cases_that_do_not_hold_or_make_no_sense(projects: dict[str, Path], tmp_path: Path) -> None:
    file = component(projects["rust"])
    cases = tmp_path / "cases"
    assert "which cases" in plugin("test", file, code=2)
    cases.mkdir()
    assert "holds no case" in plugin("test", file, "--cases", cases, code=2)
    case = cases / "one/case.yaml"
    case.parent.mkdir()
    case.write_text("sets: {}")
    assert "sets" in plugin("test", file, "--cases", cases, code=2)
    case.write_text("stage: other")
    assert "offers no stage other" in plugin("test", file, "--cases", cases, code=2)
    case.write_text("set: {memory: 1Gi}")
    assert "there is no plan.yaml" in plugin("test", file, "--cases", cases, code=3)
    plugin("test", file, "--cases", cases, "--bless")
    plugin("test", file, "--cases", cases)
    case.write_text("set: {memory: 2Gi}")
    told = plugin("test", file, "--cases", cases, code=3)
    assert "memory: 1Gi" in told and "memory: 2Gi" in told and "0 of 1 cases hold" in told
    case.write_text("set: {memory: a lot}\nerror: memory")
    plugin("test", file, "--cases", cases)


def test_the_python_sdk_is_clean() -> None:
    python = ROOT / "tests/tools/python"
    folder = ROOT / "plugins/sdk-python"
    templates = ROOT / "host/author/templates"
    checked = [folder, templates / "python", templates / "common", ROOT / "examples/python-lm-eval"]
    config = folder / "pyproject.toml"
    ended(python, "ruff", "format", "--check", "--config", config, *checked)
    ended(python, "ruff", "check", "--config", config, *checked)
    ended(python, "mypy", cwd=folder)
    ended("python3", "-m", "unittest", "discover", "tests", cwd=folder)
    for stage in (templates / "python/stage", ROOT / "examples/python-lm-eval/stage"):
        ended(python, "mypy", "--config-file", config, stage, env={"MYPYPATH": str(folder)})


def test_the_go_sdk_is_clean_and_its_bindings_are_the_contracts() -> None:
    folder = ROOT / "plugins/sdk-go"
    own = [".", "./testkit", "./internal/types", "./internal/runtime", "./internal/exports"]
    for project in (folder, ROOT / "examples/go-kueue-training"):
        assert ended("gofmt", "-l", project) == ""
    ended("go", "vet", *own, cwd=folder)
    ended("go", "test", ".", cwd=folder)
    ended("go", "test", "./...", cwd=ROOT / "examples/go-kueue-training")
    manifest = ROOT / "tests/go-bindings/Cargo.toml"
    target = CACHE / "target" / "go-bindings"
    ended(
        *("cargo", "run", "--quiet", "--manifest-path", manifest, "--", "--check"),
        env={"CARGO_TARGET_DIR": str(target)},
    )


def test_the_javascript_sdk_is_clean(tmp_path: Path) -> None:
    # With Node's types, which a component does not have.
    folder = tmp_path / "sdk"
    subprocess.run(["cp", "-r", ROOT / "plugins/sdk-javascript", folder], check=True)
    packages = ("typescript@7.0.2", "@types/node@22.20.7")
    ended("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-save", *packages, cwd=folder)
    ended("node", "node_modules/typescript/bin/tsc", "--project", ".", cwd=folder)
    ended("node", "--test", "tests/sdk.test.js", cwd=folder)
    ended("npm", "test", "--silent", cwd=ROOT / "examples/javascript-model-card")
