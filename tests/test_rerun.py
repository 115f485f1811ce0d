"""`bon rerun`: a run again, from its folder or its file alone; and a stranger's file is data, whatever is in it."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from app import SECRET, additions, asking, environment, jsonl, metadata_of, parquets, rows_of, run, start, sum_of
from bon_command import SCRIPT, script
from bon_command import apart as bon
from fake_api import FakeApi
from omegaconf import DictConfig, OmegaConf

from bon_hydra.saved import config_from, load_config, resolved_yaml
from bon_hydra.schema import Config
from bon_hydra.versions import git_commit

UNLIKE = {"run_id", "reused"}
"""Columns in which a rerun differs from its run when everything was in the store."""
TRUST = ("--trust-host", "127.0.0.1")


def hashes(api: FakeApi, since: int = 0) -> Counter[str]:
    return Counter(hashlib.sha256(request.sent).hexdigest() for request in api.requests[since:])


def newest(cwd: Path) -> Path:
    return parquets(cwd)[-1]


def alike(path: Path) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in UNLIKE} for row in rows_of(path)]


def remade(source: Path, target: Path, config: Config | str, **metadata: str) -> Path:
    """A run's file as a stranger might hand it on: another configuration and other metadata in it."""
    table = pq.read_table(source)
    text = config if isinstance(config, str) else resolved_yaml(config)
    changed = {**table.schema.metadata, b"config_yaml": text.encode()}
    changed |= {name.encode(): value.encode() for name, value in metadata.items()}
    pq.write_table(table.replace_schema_metadata(changed), target)
    return target


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FakeApi, Path]]:
    """A server, and a folder with one finished run that asked it. Tests copy what they change."""
    cwd = tmp_path_factory.mktemp("done")
    with FakeApi(reply=sum_of) as api:
        more = ["seed=7", "num_candidates=3", "+model.extra_body.top_k=5", "prompt=cot", r'notes="What: \${x} 例"']
        first = run(cwd, *asking(api.url, additions(cwd), *more), "experiment_name=first", "stop=['###']")
        assert first.returncode == 0, first.stderr
        yield api, cwd


def elsewhere(done: tuple[FakeApi, Path], tmp_path: Path) -> Path:
    """The run's file alone, in a folder of its own."""
    return Path(shutil.copy(newest(done[1]), tmp_path / "theirs.parquet"))


@pytest.mark.parametrize("which", ["folder", "file in it", "file alone", "glob"])
def test_with_the_store_there_nothing_is_asked_and_the_file_is_equal(
    done: tuple[FakeApi, Path], tmp_path: Path, which: str
) -> None:
    """Every row but for `reused` and the run's id; the metadata says what was rerun, and with what."""
    api, cwd = done[0], tmp_path / "cwd"
    shutil.copytree(done[1], cwd, symlinks=True)
    before = newest(cwd)
    saved = load_config(before.parent / "resolved.yaml")
    (before.parent / "resolved.yaml").write_text(resolved_yaml(saved), encoding="utf-8")
    # The copy keeps naming the first folder's data, and its store, which are both there.
    spec = {
        "folder": "outputs/latest",
        "file in it": str(before),
        "file alone": str(elsewhere(done, tmp_path)),
        "glob": "outputs/*/*_first",
    }[which]
    asked = len(api.requests)
    again = (script if which == "folder" else bon)(cwd, "rerun", spec, *TRUST)
    assert again.returncode == 0, again.stderr
    assert len(api.requests) == asked
    after = newest(cwd)
    assert after.parent != before.parent
    assert alike(after) == alike(before)
    assert {row["reused"] for row in rows_of(after)} == {True}
    old, new = metadata_of(before), metadata_of(after)
    for name in ("experiment", "notes", "model", "temperature", "splits", "num_candidates", "dataset_revision"):
        assert new[name] == old[name], name
    assert new["overrides"] == "[]"
    named = {"file alone": tmp_path / "theirs.parquet", "file in it": before}
    assert new["config_file"] == str(named.get(which, before.parent / "resolved.yaml"))
    assert after.parent.name.endswith("_first")
    assert after.parent.parent.parent == cwd / "outputs"
    assert "changed since" not in again.stderr
    assert load_config(after.parent / "resolved.yaml").notes == "What: ${x} 例"


def test_without_the_store_the_same_requests_go_out_byte_for_byte(done: tuple[FakeApi, Path], tmp_path: Path) -> None:
    """On what might be another machine: the parquet file alone, the data elsewhere, no store."""
    api, first = done
    there = tmp_path / "there"
    there.mkdir()
    shutil.copytree(first, tmp_path / "gone", symlinks=True)
    saved = config_from(metadata_of(newest(first))["config_yaml"], "first")
    saved.output.store = "/not/here/store.sqlite"
    saved.dataset.data_files = "/not/here/additions.jsonl"
    file = remade(newest(first), there / "theirs.parquet", saved)
    asked = len(api.requests)
    missing = bon(there, "rerun", str(file), *TRUST)
    assert (missing.returncode, len(api.requests)) == (2, asked)
    assert "dataset.data_files=PATH" in missing.stderr
    assert missing.stderr.count("\n") == 1
    assert sorted(path.name for path in there.iterdir()) == ["theirs.parquet"]
    data = additions(there)
    again = bon(there, "rerun", str(file), *TRUST, f"dataset.data_files={data}")
    assert again.returncode == 0, again.stderr
    assert hashes(api, asked) == hashes_of_the_first(api, first)
    assert [row["response"] for row in rows_of(newest(there))] == [row["response"] for row in rows_of(newest(first))]
    assert [row["query_id"] for row in rows_of(newest(there))] == [row["query_id"] for row in rows_of(newest(first))]
    assert "changed since" not in again.stderr  # the data is the same, wherever it lies
    assert "output.store: not taken over" in again.stderr
    assert json.loads(metadata_of(newest(there))["overrides"]) == [f"dataset.data_files={data}"]


def hashes_of_the_first(api: FakeApi, first: Path) -> Counter[str]:
    """Of the requests that the fixture's run sent, which were the server's first."""
    return hashes(api) - hashes(api, len(rows_of(newest(first))))


def test_changes_go_on_top_and_a_group_replaces_its_block(done: tuple[FakeApi, Path], tmp_path: Path) -> None:
    """A larger N asks for the rest only; sampling= replaces all sampling keys; overrides are recorded."""
    api, cwd = done[0], tmp_path / "cwd"
    shutil.copytree(done[1], cwd, symlinks=True)
    asked = api.choices
    more = bon(cwd, "rerun", "outputs/latest", "num_candidates=4", "notes=more", *TRUST)
    assert more.returncode == 0, more.stderr
    assert api.choices - asked == 6
    assert metadata_of(newest(cwd))["notes"] == "more"
    assert json.loads(metadata_of(newest(cwd))["overrides"]) == ["num_candidates=4", "notes=more"]
    greedy = bon(cwd, "rerun", "outputs/latest", "sampling=greedy", *TRUST)
    assert greedy.returncode == 0, greedy.stderr
    config = load_config(newest(cwd).parent / "resolved.yaml")
    assert (config.num_candidates, config.temperature, config.seed, config.stop) == (1, 0.0, None, None)
    assert config.model.extra_body == {"top_k": 5}
    assert newest(cwd).name == "first_fake-model_n1_t0.parquet"


def test_a_sweep_over_a_saved_run(done: tuple[FakeApi, Path], tmp_path: Path) -> None:
    """-m on top, with the saved block as one of a group's options; each job's file says where it came from."""
    api, cwd = done[0], tmp_path / "cwd"
    shutil.copytree(done[1], cwd, symlinks=True)
    asked, folder = len(api.requests), newest(cwd).parent
    swept = bon(cwd, "rerun", str(folder), "-m", "num_candidates=1,2", "prompt=saved,plain", *TRUST)
    assert swept.returncode == 0, swept.stderr
    jobs = [path for path in parquets(cwd) if path.parent.parent.name.endswith("_sweep")]
    seen = {(metadata_of(path)["num_candidates"], rows_of(path)[0]["prompt"].count("step by step")) for path in jobs}
    assert seen == {("1", 1), ("2", 1), ("1", 0), ("2", 0)}
    assert {metadata_of(path)["config_file"] for path in jobs} == {str(folder / "resolved.yaml")}
    assert sum(int(json.loads(request.sent).get("n", 1)) for request in api.requests[asked:]) == 6 * 2


def test_what_changed_since_is_said_before_it_starts(done: tuple[FakeApi, Path], tmp_path: Path) -> None:
    """Versions, verifiers, data, sandbox and git: then and now, in plain lines on stderr, also for a dry run."""
    api, first = done
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    (tmp_path / "new").write_text("x")
    subprocess.run([*git, "add", "new"], check=True)
    recorded = json.loads(metadata_of(newest(first))["packages"]) | {"openai": "0.1", "sympy": None}
    saved = config_from(metadata_of(newest(first))["config_yaml"], "first")
    saved.dataset.data_files = str(additions(tmp_path, 5))
    table = pq.read_table(newest(first))
    at = table.column_names.index("verifier")
    column = ["math 1 (math-verify 0.8)"] * (len(table) - 1) + ["gone 3"]
    other = tmp_path / "other.parquet"
    pq.write_table(table.set_column(at, table.schema.field(at), [column]), other)
    file = remade(
        other,
        tmp_path / "theirs.parquet",
        saved,
        bon_hydra_version="0.0.9",
        packages=json.dumps(recorded),
        git_commit="a" * 40 + "-dirty",
        sandbox_level="none",
    )
    asked = len(api.requests)
    again = bon(tmp_path, "rerun", str(file), "dry_run=true")
    assert again.returncode == 0, again.stderr
    told = [line for line in again.stderr.splitlines() if not line.startswith(("output.", "dataset."))]
    assert [line.partition(": then ")[0] for line in told] == [
        "changed since the saved run: bon_hydra",
        "changed since the saved run: openai",
        "changed since the saved run: sympy",
        "changed since the saved run: verifier",
        "changed since the saved run: verifier",
        "changed since the saved run: git commit",
        "uncommitted changes in git then: the commit does not say which code and configuration ran",
        "uncommitted changes in git now: the commit does not say which code and configuration ran",
        "changed since the saved run: data files",
    ]
    assert "then gone 3, now not installed" in again.stderr
    assert "then 0.0.9, now " in again.stderr
    assert len(api.requests) == asked


STRANGERS: dict[str, tuple[dict[str, Any], tuple[str, ...], str]] = {
    "a key for a host nobody knows": ({}, (), "OPENAI_API_KEY"),
    "also as one of several models": ({}, ("-m", "model=saved,gpt-4o-mini"), "OPENAI_API_KEY"),
    "also below an experiment": ({}, ("experiment={mine}",), "OPENAI_API_KEY"),
    "a key the user adds for that host": ({"model.api_key_env": None}, ("model.api_key_env=OPENAI_API_KEY",), "OPENAI"),
    "another key for a known host": (
        {"model.base_url": "https://api.openai.com/v1", "model.api_key_env": "HOME"},
        (),
        "HOME to api.openai.com",
    ),
    "a known host without encryption": ({"model.base_url": "http://api.openai.com/v1"}, (), "api.openai.com"),
    "a host that begins like a known one": (
        {"model.base_url": "https://api.openai.com.example.org/v1"},
        (),
        "api.openai.com.example.org",
    ),
    "a known host and another port": ({"model.base_url": "https://api.openai.com:8443/v1"}, (), "api.openai.com:8443"),
    "a host whose letters look like a known one's": ({"model.base_url": "https://аpi.openai.com/v1"}, (), r"\u0430pi"),
    "prompts for a host nobody knows": (
        {"model.base_url": "https://example.org/v1", "model.api_key_env": None},
        (),
        "asks example.org",
    ),
    "a known host, and one nobody knows beside it": (
        {"model.base_url": ["https://api.openai.com/v1", "https://example.org/v1"], "model.identity": "one"},
        (),
        "example.org",
    ),
    "prompts for several hosts nobody knows": (
        {"model.base_url": ["https://example.org/v1"], "model.api_key_env": None, "model.identity": "one"},
        (),
        "asks example.org",
    ),
    "answers that would pass for another server's": (
        {"model.identity": "https://api.openai.com/v1"},
        TRUST,
        "model.identity",
    ),
    "answers that would pass for the embedded model's": (
        {"model.base_url": "embedded", "model.identity": "https://api.openai.com/v1"},
        (),
        "model.identity",
    ),
}


@pytest.mark.parametrize("what", STRANGERS)
def test_a_strangers_file_gets_no_key_and_no_prompt_sent_anywhere(
    done: tuple[FakeApi, Path], tmp_path: Path, what: str
) -> None:
    """Exit 2 and one line that names it; no request, not even the list of models; no folder."""
    api, first = done
    changes, arguments, named = STRANGERS[what]
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "mine.yaml").write_text("# @package _global_\nnum_candidates: 1\n")
    arguments = tuple(argument.format(mine="mine") for argument in arguments)
    file = remade(newest(first), tmp_path / "theirs.parquet", altered(first, changes))
    asked = len(api.requests), api.models_requests
    refused = bon(tmp_path, "rerun", str(file), *arguments, "--config-dir", "mine")
    assert (refused.returncode, named in refused.stderr) == (2, True), refused.stderr
    assert "Traceback" not in refused.stderr
    lines = [line for line in refused.stderr.splitlines() if not line.startswith(("output.", "dataset."))]
    assert len(lines) == 1, lines
    assert (len(api.requests), api.models_requests) == asked
    assert not (tmp_path / "outputs").exists()


def altered(first: Path, changes: Mapping[str, Any]) -> Config:
    """The fixture's configuration with some keys changed."""
    saved = OmegaConf.create(metadata_of(newest(first))["config_yaml"])
    assert isinstance(saved, DictConfig)
    for key, value in changes.items():
        OmegaConf.update(saved, key, value)
    del saved["defaults"]
    return config_from(OmegaConf.to_yaml(saved), "altered")


@pytest.mark.parametrize(
    "word", [("model.base_url={url}",), TRUST, ("--trust-host", "{netloc}"), ("--config-dir", "mine")], ids=" ".join
)
def test_the_users_word_is_enough(done: tuple[FakeApi, Path], tmp_path: Path, word: tuple[str, ...]) -> None:
    """A flag, the address said anew, or an option of one's own with this host and key."""
    api, first = done
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "ours.yaml").write_text(f"base_url: {api.url}\napi_key_env: OPENAI_API_KEY\n")
    netloc = api.url.split("/")[2]
    word = tuple(part.format(url=api.url, netloc=netloc) for part in word)
    again = bon(tmp_path, "rerun", str(elsewhere(done, tmp_path)), *word)
    assert again.returncode == 0, again.stderr
    assert len(rows_of(newest(tmp_path))) == len(rows_of(newest(first)))


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 2), ("", 2)])
def test_on_a_terminal_the_user_is_asked(done: tuple[FakeApi, Path], tmp_path: Path, answer: str, code: int) -> None:
    """Host and variable are named, and only a yes goes on."""
    api = done[0]
    file = elsewhere(done, tmp_path)
    asked = api.models_requests
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [SCRIPT, "rerun", str(file)],
        cwd=tmp_path,
        env=environment(),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    told = b""
    while b"[y/N]" not in told:
        told += os.read(ours, 4096)
    assert api.models_requests == asked
    assert b"OPENAI_API_KEY" in told
    assert b"127.0.0.1" in told
    os.write(ours, answer.encode() + b"\n")
    while True:  # until the program has closed its end
        try:
            told += os.read(ours, 4096)
        except OSError:
            break
    process.communicate(timeout=120)
    assert process.returncode == code, told
    os.close(ours)


def test_a_strangers_file_writes_nowhere_but_into_a_new_run_folder(done: tuple[FakeApi, Path], tmp_path: Path) -> None:
    """Its paths, its store, its unconfined sandbox and its cluster are left where they are, and that is said."""
    first = done[1]
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "notes.sqlite").write_text("mine")
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    changes = {
        "output.dir": str(precious),
        "output.file": str(precious / "file.parquet"),
        "output.store": str(precious / "notes.sqlite"),
        "runner.sandbox.allow_unsafe": True,
        "runner.address": "ray://example.org:10001",
        "dry_run": True,
        "experiment_name": r"../../precious/\${oc.env:OPENAI_API_KEY}",
    }
    file = remade(newest(first), cwd / "theirs.parquet", altered(first, changes))
    before, mine = tree(precious), tree(cwd)
    again = bon(cwd, "rerun", str(file), *TRUST)
    assert again.returncode == 0, again.stderr
    assert tree(precious) == before
    (folder,) = [path for path in (cwd / "outputs").glob("2*/*") if path.is_dir()]
    new = {Path(path) for path in tree(cwd) if path not in mine}
    assert all(folder in path.parents or path.name.startswith("store.sqlite") for path in new), new
    config = load_config(folder / "resolved.yaml")
    assert (config.runner.sandbox.allow_unsafe, config.runner.address) == (False, None)
    assert config.output.dir == str(cwd / "outputs")
    for key in ("output.file", "output.store", "runner.sandbox.allow_unsafe", "runner.address"):
        assert f"{key}: not taken over" in again.stderr
    assert SECRET not in again.stderr
    assert metadata_of(newest(cwd))["config_file"] == str(file)
    assert SECRET not in "".join(map(str, new))
    loud = bon(cwd, "rerun", str(file), *TRUST, "runner.sandbox.allow_unsafe=true", "output.file=x.parquet")
    assert loud.returncode == 0, loud.stderr
    assert "allow_unsafe: not" not in loud.stderr
    assert load_config(newest(cwd).parent / "resolved.yaml").runner.sandbox.allow_unsafe


HOSTILE = {
    "a tag that makes an object": "notes: !!python/object/apply:os.system ['touch {canary}']\n",
    "aliases that stand for gigabytes": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    "lists without end": "notes: " + "[" * 50_000,
    "settings of Hydra's": "hydra: {{callbacks: {{x: {{_target_: os.system, command: 'touch {canary}'}}}}}}\n",
    "a defaults list of its own": "defaults: [base_config, {{override hydra/launcher: joblib}}]\nnotes: x\n",
    "a look into the environment": "notes: ${{oc.env:OPENAI_API_KEY}}\n",
    "a look into the environment in its defaults": "defaults: ['${{oc.env:OPENAI_API_KEY}}']\n",
    "a key that is none": "dataset: {{path: x, trust_remote_code: true}}\n",
    "a number for a key": "1: 2\n",
    "two documents": "notes: x\n---\nnotes: y\n",
    "colours for the terminal": '"\\e[2J\\e]0;x": 1\n',
    "nothing": "",
}


def test_a_folder_that_hydra_would_look_up_is_refused(done: tuple[FakeApi, Path], tmp_path: Path) -> None:
    """A run that lies below a folder of such a name would leave its rerun in one named after the variable's value."""
    theirs = tmp_path / "${oc.env:OPENAI_API_KEY}" / "2026-11-23" / "run"
    shutil.copytree(newest(done[1]).parent, theirs)
    refused = bon(tmp_path, "rerun", str(theirs), *TRUST)
    assert (refused.returncode, "output.dir" in refused.stderr, SECRET in refused.stderr) == (2, True, False)
    assert not any(SECRET in str(path) for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_configuration_is_refused_as_data(done: tuple[FakeApi, Path], tmp_path: Path, what: str) -> None:
    """Exit 2, one line, nothing run, nothing looked up, soon; in a parquet file or a folder."""
    canary = tmp_path / "canary"
    text = HOSTILE[what].format(canary=canary)
    spec = tmp_path / "run"
    spec.mkdir()
    if "Hydra" in what:
        (spec / "resolved.yaml").write_text(text)
    else:
        spec = remade(newest(done[1]), spec / "theirs.parquet", text)
    asked = len(done[0].requests)
    refused = bon(tmp_path, "rerun", str(spec), *TRUST)
    assert refused.returncode == 2, refused.stderr
    assert (refused.stderr.count("\n"), "Traceback" in refused.stderr, SECRET in refused.stderr) == (1, False, False)
    assert refused.stderr.rstrip("\n").isprintable()
    assert not canary.exists()
    assert len(done[0].requests) == asked
    assert not (tmp_path / "outputs").exists()


def test_nothing_of_a_strangers_folder_is_imported_or_run(done: tuple[FakeApi, Path], tmp_path: Path) -> None:
    """Modules under the names of libraries, plug-ins for Hydra, a loading script, and programs that git would start."""
    cwd = tmp_path / "theirs"
    shutil.copytree(done[1], cwd, symlinks=True)
    canary = tmp_path / "canary"
    code = f"open({str(canary)!r}, 'a').write(__name__)\n"
    for name in ("yaml", "hydra", "openai", "datasets", "bon_hydra", "sitecustomize", "math_verify", "sympy", "json"):
        (cwd / f"{name}.py").write_text(code)
    (cwd / "hydra_plugins").mkdir()
    (cwd / "hydra_plugins" / "evil.py").write_text(code)
    git = ["git", "-C", str(cwd), "-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run(["git", "init", "-q", cwd], check=True)
    (cwd / ".gitattributes").write_text("* filter=a=b\n")
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "x"], check=True)
    for setting in ("core.fsmonitor", "filter.a=b.clean", "filter.a=b.process", "filter.a=b.smudge"):
        subprocess.run([*git, "config", setting, f"touch {canary}; cat"], check=True)
    hook = cwd / ".git" / "hooks" / "post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {canary}\n")
    hook.chmod(0o755)
    os.utime(cwd / "additions.jsonl", (1, 1))
    again = script(cwd, "rerun", "outputs/latest", *TRUST)
    assert again.returncode == 0, again.stderr
    assert not canary.exists(), canary.read_text()
    assert len(metadata_of(newest(cwd))["git_commit"].removesuffix("-dirty")) == 40


def test_the_commit_says_whether_files_differ_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh one, a changed one, and none outside of git."""
    monkeypatch.chdir(tmp_path)
    assert git_commit() == ""
    subprocess.run(["git", "init", "-q"], check=True)
    (tmp_path / "file").write_text("one")
    subprocess.run(["git", "add", "file"], check=True)
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "x"], check=True)
    assert len(git_commit()) == 40
    (tmp_path / "file").write_text("two")
    assert git_commit().endswith("-dirty")


def test_a_signal_and_the_exit_code_are_the_runs_own(tmp_path: Path) -> None:
    """SIGINT to the process that was started ends the run in order: 130, and what arrived is there."""
    with FakeApi(reply=sum_of, latency=0.1) as api:
        first = run(tmp_path, *asking(api.url, additions(tmp_path, 2), "num_candidates=1"))
        assert first.returncode == 0, first.stderr
        data = jsonl(tmp_path / "more.jsonl", [{"question": f"What is {i}+2?", "answer": "#### 1"} for i in range(200)])
        arguments = ["rerun", "outputs/latest", f"dataset.data_files={data}", "concurrency=2", *TRUST]
        process = start(tmp_path, *arguments, module="bon_hydra.cli")
        while api.choices < 6:
            assert process.poll() is None, process.communicate()
        process.send_signal(2)
        told = process.communicate(timeout=60)
        assert process.returncode == 130, told
        assert len(rows_of(newest(tmp_path))) >= 6
    assert "changed since the saved run: data files" in told[1]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("nothing", "no such run"),
        ("outputs", "no such run"),
        ("outputs/*/*", "2 runs, wanted one"),
        ("seeds.parquet", "says nothing of its run's configuration"),
        ("additions.jsonl", "is no YAML of a run"),
    ],
)
def test_what_is_no_run_cannot_be_run_again(done: tuple[FakeApi, Path], tmp_path: Path, spec: str, told: str) -> None:
    """One line, exit 2."""
    cwd = tmp_path / "cwd"
    shutil.copytree(done[1], cwd, symlinks=True)
    shutil.copytree(newest(cwd).parent, newest(cwd).parent.with_name("another"))
    table = pq.read_table(newest(cwd))
    pq.write_table(table.replace_schema_metadata({b"model": b"gpt-4o"}), cwd / "seeds.parquet")
    refused = bon(cwd, "rerun", spec)
    assert (refused.returncode, told in refused.stderr, refused.stderr.count("\n")) == (2, True, 1), refused.stderr


def test_a_wrong_change_is_refused_like_in_any_run(done: tuple[FakeApi, Path], tmp_path: Path) -> None:
    """The key or group, what it got, and the nearest known name."""
    for change, told in (
        ("temperature=hot", "a number"),
        ("num_candidatess=2", "did you mean num_candidates"),
        ("prompt=cott", "did you mean cot"),
        ("modl=gpt-4o", "did you mean model"),
    ):
        refused = bon(tmp_path, "rerun", str(elsewhere(done, tmp_path)), change, *TRUST)
        assert (refused.returncode, told in refused.stderr) == (2, True), refused.stderr
        assert not (tmp_path / "outputs").exists()
