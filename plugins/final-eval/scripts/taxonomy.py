"""The taxonomy with the skills' questions, as a private copy of the git repository.

The branch evaluator checks branches out, which needs a writable repository that belongs to the same user, with a branch
checked out. The one on the claim may be none of that, and is not to be changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from runner import BadInput, Failed, describe, say

# The folders that the evaluator passes over.
_NOT_SKILLS = ("knowledge", "docs", "scripts")

# Settings for every git process of this script and of the evaluator. The repository comes from outside, so nothing
# that its configuration could start is allowed to run.
_GIT_SETTINGS = {"safe.directory": "*", "core.hooksPath": os.devnull, "core.fsmonitor": "false"}


def make_git_safe() -> None:
    """Put git's settings for this process and its children into the environment."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        os.environ.pop(name, None)
    os.environ["GIT_CONFIG_COUNT"] = str(len(_GIT_SETTINGS))
    for number, (key, value) in enumerate(_GIT_SETTINGS.items()):
        os.environ[f"GIT_CONFIG_KEY_{number}"] = key
        os.environ[f"GIT_CONFIG_VALUE_{number}"] = value
    os.environ["GIT_CONFIG_NOSYSTEM"] = "1"
    os.environ["GIT_CONFIG_GLOBAL"] = os.devnull
    os.environ["GIT_TERMINAL_PROMPT"] = "0"
    os.environ["GIT_OPTIONAL_LOCKS"] = "0"


def require_repository(source: Path) -> None:
    """Check that the taxonomy is a git repository that can be copied."""
    if not source.is_dir():
        raise BadInput("the taxonomy does not exist", source, "an archive with a taxonomy/ folder")
    if not (source / ".git").is_dir():
        what = "a git worktree or submodule" if (source / ".git").exists() else "not a git repository"
        raise BadInput(f"the taxonomy is {what}", source, "an archive whose taxonomy/ is a full clone")
    if shutil.which("git") is None:
        raise Failed("there is no git in this image", hint="another image for this stage")


def copy_taxonomy(source: Path, target: Path) -> Path:
    """Copy the repository without its hooks; returns the path of the copy, which never ends in a slash."""
    try:
        shutil.copytree(source, target, symlinks=True, ignore=_left_out)
        for folder, _, _ in os.walk(target):
            os.chmod(folder, 0o700)
    except (OSError, shutil.Error) as error:
        raise Failed(f"cannot copy the taxonomy: {describe(error)}", source, "a larger work folder") from error
    return target


def _left_out(folder: str, names: list[str]) -> Iterable[str]:
    if Path(folder).name == ".git":
        # A lock may have been packed together with the repository.
        return [name for name in names if name in ("hooks", "index.lock")]
    return []


def prepare_branches(repository: Path, branches: Iterable[str]) -> dict[str, int]:
    """Check out each branch once and check its questions; returns their number by branch.

    Afterwards one of the branches is checked out: the evaluator cannot start from a detached HEAD.
    """
    changes = [line for line in _git(repository, "status", "--porcelain").splitlines() if line]
    if changes:
        say(f"taxonomy: {len(changes)} uncommitted change(s) are evaluated too, e.g. {changes[0].strip()}")
    counts: dict[str, int] = {}
    for branch in dict.fromkeys(branches):
        _check_out(repository, branch)
        counts[branch] = count_questions(repository)
        say(f"taxonomy: branch {branch} has {counts[branch]} questions about skills")
    return counts


def _check_out(repository: Path, branch: str) -> None:
    listed = _git(repository, "for-each-ref", "--format=%(refname)", "refs/heads", "refs/remotes/origin").splitlines()
    local = [ref.removeprefix("refs/heads/") for ref in listed if ref.startswith("refs/heads/")]
    remote = [ref.removeprefix("refs/remotes/origin/") for ref in listed if ref.startswith("refs/remotes/origin/")]
    if branch not in local and branch not in remote:
        known = ", ".join(sorted({*local, *remote} - {"HEAD"})) or "none"
        raise BadInput(f"the taxonomy has no branch {branch}; it has: {known}", repository, "one of these")
    try:
        if branch in local:
            _git(repository, "checkout", "--quiet", branch, "--")
        else:
            _git(repository, "checkout", "--quiet", "-b", branch, f"refs/remotes/origin/{branch}")
    except Failed as error:
        raise BadInput(f"branch {branch} cannot be checked out: {error.what}", repository) from error


def count_questions(repository: Path) -> int:
    """Read all skill files as the evaluator will; broken ones are reported here, with their place."""
    total = 0
    files = skill_files(repository)
    for file in files:
        total += _questions_in(file, repository)
    if total == 0:
        raise BadInput(
            "the taxonomy has no questions about skills", f"{repository} ({len(files)} qna.yaml)", "adding a skill"
        )
    return total


def skill_files(repository: Path) -> list[Path]:
    """All `qna.yaml` files of skills."""
    roots = [
        entry
        for entry in repository.iterdir()
        if entry.is_dir() and not entry.name.startswith(".") and entry.name not in _NOT_SKILLS
    ]
    return sorted(file for root in roots for file in root.rglob("qna.yaml"))


def _questions_in(file: Path, repository: Path) -> int:
    import yaml

    where = f"taxonomy: {file.relative_to(repository)}"
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadInput(f"not valid YAML: {describe(error)}", where, "correcting the file") from error
    if not isinstance(content, dict):
        raise BadInput("not a mapping", where, "correcting the file")
    examples = content.get("seed_examples") or []
    if not isinstance(examples, list) or not all(isinstance(example, dict) for example in examples):
        raise BadInput("seed_examples is not a list of mappings", where, "correcting the file")
    count = 0
    for example in examples:
        question, answer = example.get("question"), example.get("answer")
        if question is None or answer is None:
            continue  # The evaluator passes over it, too.
        if not isinstance(question, str) or not isinstance(answer, str):
            # An unquoted yes, no or number.
            raise BadInput(f"a question or answer is not text: {question!r}, {answer!r}", where, "quoting it")
        count += 1
    return count


def _git(repository: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(repository), *arguments],  # noqa: S607 - the image's git.
            capture_output=True,
            text=True,
            check=False,
            errors="replace",
        )
    except OSError as error:
        raise Failed(f"cannot run git: {error.strerror}") from error
    if done.returncode != 0:
        raise Failed(f"git {arguments[0]}: {' '.join(done.stderr.split())}", repository)
    return done.stdout
