"""What is not as it was when a saved run was made, in plain lines; said, never a reason to stop."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bon_hydra import __version__
from bon_hydra.saved_run import SavedRun
from bon_hydra.verifiers import UnknownVerifier, verifier_of
from bon_hydra.versions import git_commit, packages

if TYPE_CHECKING:
    from bon_hydra.preflight import Prepared

DIRTY = "-dirty"


def drift(run: SavedRun) -> Iterator[str]:
    """Versions, verifiers and git, then and now. Nothing of what the run did not record."""
    then = run.metadata
    if (version := then.get("bon_hydra_version", __version__)) != __version__:
        yield _changed("bon_hydra", version, __version__)
    now, before = packages(), _packages(then.get("packages"))
    for name in (name for name in now if name in before and before[name] != now[name]):
        yield _changed(name, before[name] or "not installed", now[name] or "not installed")
    for judge in run.verifiers:
        today = _verifier(judge.partition(" ")[0])
        if judge != today:
            yield _changed("verifier", judge, today)
    if "git_commit" in then:
        yield from _git(then["git_commit"], git_commit())


def world_drift(saved: Mapping[str, Any], prepared: Prepared, other_dataset: bool) -> Iterator[str]:
    """Data and sandbox, which are known when the run is ready to start.

    `saved`: `dataset_revision` and `sandbox_level` as in the metadata; empty where the saved run did not say.
    """
    revision, level = str(saved["dataset_revision"]), str(saved["sandbox_level"])
    if revision and not other_dataset and revision != prepared.source.revision:
        what = "data files" if revision.startswith("sha256") else "dataset revision"
        yield _changed(what, revision, prepared.source.revision)
    if "none" not in (level, prepared.sandbox_level) and level not in ("", prepared.sandbox_level):
        yield _changed("sandbox level", level, prepared.sandbox_level)


def _changed(what: str, then: str, now: str) -> str:
    return f"changed since the saved run: {what}: then {then}, now {now}"


def _packages(text: str | None) -> dict[str, str | None]:
    try:
        recorded = json.loads(text or "{}")
        return {str(name): version and str(version) for name, version in recorded.items()}
    except (ValueError, AttributeError):
        return {}


def _verifier(name: str) -> str:
    try:
        return verifier_of(name)
    except UnknownVerifier:
        return "not installed"


def _git(then: str, now: str) -> Iterator[str]:
    commits = then.removesuffix(DIRTY), now.removesuffix(DIRTY)
    if commits[0] != commits[1]:
        yield _changed("git commit", commits[0] or "outside of git", commits[1] or "outside of git")
    for when, commit in (("then", then), ("now", now)):
        if commit.endswith(DIRTY):
            yield f"uncommitted changes in git {when}: the commit does not say which code and configuration ran"
