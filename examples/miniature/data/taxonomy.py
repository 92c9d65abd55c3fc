"""The archive's `taxonomy/` folder: a git repository on branch main, with skills and knowledge as qna.yaml files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from facts import KNOWLEDGE, SKILLS, Fact, Form

_SEEDS = 6
_AUTHOR = "miniature"
# Fixed, so that the same seed gives the same commit.
_DATE = "2024-09-09T15:30:29+00:00"


def write_taxonomy(folder: Path) -> None:
    """Write and commit the taxonomy."""
    for leaf, form in SKILLS.items():
        _write_qna(folder / _leaf_path(leaf), _skill(form))
    for leaf, forms in KNOWLEDGE.items():
        _write_qna(folder / _leaf_path(leaf), _knowledge(leaf, forms))
    (folder / "README.md").write_text(
        "# Taxonomy of the miniature workload\n\nInvented islands and three small skills.\n"
    )
    _commit(folder)


def _leaf_path(leaf: str) -> str:
    """`compositional_skills_language_young_animals` is compositional_skills/language/young_animals."""
    top = next(name for name in ("compositional_skills", "foundational_skills", "knowledge") if leaf.startswith(name))
    area, name = leaf.removeprefix(f"{top}_").split("_", 1)
    return f"{top}/{area}/{name}"


def _write_qna(folder: Path, content: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    (folder / "qna.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def _skill(form: Form) -> dict[str, Any]:
    seeds = [{"question": fact.questions[0], "answer": fact.answer} for fact in form.facts()[:_SEEDS]]
    return {
        "version": 3,
        "created_by": _AUTHOR,
        "task_description": form.name.replace("_", " "),
        "seed_examples": seeds,
    }


def _knowledge(leaf: str, forms: tuple[Form, ...]) -> dict[str, Any]:
    facts = [fact for form in forms for fact in form.facts()]
    # Three questions a context is what the schema asks for.
    groups = [facts[start : start + 3] for start in range(0, 3 * _SEEDS, 3)]
    return {
        "version": 3,
        "created_by": _AUTHOR,
        "domain": leaf.split("_")[1],
        "document_outline": f"Invented islands: {leaf.split('_')[2]}",
        "document": {"repo": "none: the document is invented", "commit": "none", "patterns": ["*.md"]},
        "seed_examples": [_knowledge_seed(group) for group in groups if group],
    }


def _knowledge_seed(group: list[Fact]) -> dict[str, Any]:
    return {
        "context": " ".join(fact.answer for fact in group),
        "questions_and_answers": [{"question": fact.questions[0], "answer": fact.answer} for fact in group],
    }


def _commit(folder: Path) -> None:
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": _AUTHOR,
        "GIT_AUTHOR_EMAIL": "",
        "GIT_AUTHOR_DATE": _DATE,
        "GIT_COMMITTER_NAME": _AUTHOR,
        "GIT_COMMITTER_EMAIL": "",
        "GIT_COMMITTER_DATE": _DATE,
    }

    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)

    git("init", "--quiet", "--initial-branch=main", "--template=")
    git("add", ".")
    git("commit", "--quiet", "--message=Invented islands and three small skills")
    # The index remembers inode numbers and times of this machine; written anew from the commit it does not.
    (folder / ".git" / "index").unlink()
    git("read-tree", "HEAD")
