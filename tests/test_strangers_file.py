"""A stranger's run is data to every command that reads it: nothing in it is run, printed raw, written or fetched.

`tests/test_rerun.py` has what concerns `bon rerun` alone: keys, hosts, identities, Hydra's settings, YAML.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from app import SECRET, additions, asking, metadata_of, parquets, run, sum_of
from bon_command import apart
from bon_command import script as bon
from fake_api import FakeApi
from sample_runs import METADATA, write_mixed

from bon_hydra.cli import main as bon_in_this_process
from bon_hydra.prompts import render
from bon_hydra.records import Query
from bon_hydra.report.tables import console, json_document
from bon_hydra.report.tally import read_run
from bon_hydra.saved import config_from, resolved_yaml
from bon_hydra.schema import Config, ConfigError, PromptConfig

COMMANDS = "\x1b]0;owned\x07\x1b[2J\x9b31m\b\r\x7f[bold]x[/bold]"
"""What titles a window, clears it, colours it, goes back and covers what was there; and what rich takes for style."""
EVERY_COMMAND = [
    ["inspect", "{run}"],
    ["inspect", "{run}", "{good}"],
    ["inspect", "--by", "verifier", "{run}"],
    ["inspect", "--json", "{run}"],
    ["compare", "{run}", "{run}"],
    ["compare", "{run}", "{good}"],
    ["compare", "--json", "{run}", "{run}"],
    ["show", "{run}", "--query", "none"],
    ["store", "--store", "{run}"],
    ["ls"],
    ["ls", "--json"],
    ["report", "{run}", "-o", "page.html"],
    ["export", "{run}", "--format", "sft", "-o", "sft"],
    ["export", "{run}", "--format", "jsonl", "-o", "jsonl"],
]
PROCESSES = [["show", "{run}"], ["verify", "{run}"], ["rerun", "{run}"], ["resume", "{run}"]]


def raw(text: str) -> set[str]:
    """The characters of a text that a terminal would obey."""
    return {c for c in text if (ord(c) < 32 or 127 <= ord(c) < 160) and c not in "\n\t"}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a stranger's run: commands for the terminal in every text, nonsense in all metadata, and modules
    and settings beside it that a program could take for its own."""
    cwd = tmp_path_factory.mktemp("theirs")
    folder = cwd / "outputs" / "2026-11-23" / "14-05-33_\x1b[31mred"
    folder.mkdir(parents=True)
    good = write_mixed(cwd / "good.parquet")
    table = pq.read_table(good)
    for at, field in enumerate(table.schema):
        if pa.types.is_string(field.type) and field.name != "verdict":
            told = [f"{value}{COMMANDS}" if value else value for value in table.column(at).to_pylist()]
            table = table.set_column(at, field, pa.array(told, field.type))
    metadata = dict.fromkeys(metadata_of(good), COMMANDS) | dict.fromkeys(
        ("config_yaml", "packages", "totals", "overrides", "experiment", "status", "base_url"), COMMANDS
    )
    pandas = {"columns": [{"name": "x", "numpy_type": "object", "metadata": {"pickled": "yes"}}], "index_columns": [{}]}
    metadata |= {"schema_version": "1", "num_candidates": "4", "pandas": json.dumps(pandas)}
    pq.write_table(table.replace_schema_metadata(metadata), folder / "\x1b[31mred.parquet")
    (folder / "summary.json").write_text(json.dumps({"status": COMMANDS, "metadata": {"notes": COMMANDS}}))
    killed = folder.with_name("14-05-34_killed")
    killed.mkdir()
    bomb = "".join(f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    (killed / "resolved.yaml").write_text(f"a: &a [x,x,x,x,x,x,x,x,x]\n{bomb}notes: *i\nexperiment_name: *i\n")
    (killed / "summary.json").write_text("[" * 100_000)
    deep = folder.with_name("14-05-35_deep")
    deep.mkdir()
    (deep / "resolved.yaml").write_text("notes: " + "[" * 5_000)
    for name in ("yaml", "json", "rich", "typer", "pyarrow", "bon_hydra", "sitecustomize", "math_verify", "numpy"):
        (cwd / f"{name}.py").write_text(f"open({str(cwd / 'canary')!r}, 'a').write(__name__)\n")
    return cwd


def filled_in(command: list[str], theirs: Path) -> list[str]:
    folder = next((theirs / "outputs" / "2026-11-23").glob("14-05-33_*"))
    return [part.format(run=folder, good="good.parquet") for part in command]


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=" ".join)
def test_no_command_prints_what_a_run_tells_the_terminal(
    theirs: Path, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An end in order, in plain text of a moderate length."""
    monkeypatch.chdir(theirs)
    with pytest.raises(SystemExit) as ended:
        bon_in_this_process(filled_in(command, theirs))
    told = "".join(capsys.readouterr())
    assert ended.value.code in (0, 2), told
    assert raw(told) == set()
    assert 0 < len(told) < 100_000


@pytest.mark.parametrize("command", PROCESSES, ids=" ".join)
def test_no_command_imports_what_lies_beside_a_run(theirs: Path, command: list[str]) -> None:
    """Whole processes, started in the stranger's folder."""
    told = bon(theirs, *filled_in(command, theirs))
    assert told.returncode in (0, 2), told.stderr
    assert "Traceback" not in told.stderr
    assert raw(told.stdout + told.stderr) == set()
    assert not (theirs / "canary").exists()


def test_a_text_is_shown_on_a_terminal_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Where rich has commands of its own to send."""
    terminal = console()
    terminal._force_terminal = True
    terminal.print(COMMANDS, style="bold")
    assert raw(capsys.readouterr().out) <= {"\x1b"}
    assert json.loads(json_document({"x": COMMANDS})) == {"x": COMMANDS}
    assert raw(json_document({"x": COMMANDS})) == set()


class Opened:
    """What a pickle would do when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_in_a_parquet_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as the type of a column, which old readers unpickled, nor in what pandas keeps for itself."""
    monkeypatch.chdir(tmp_path)
    canary = tmp_path / "canary"
    evil = pickle.dumps(Opened(canary))
    table = pq.read_table(write_mixed(tmp_path / "run.parquet"))
    at = table.schema.get_field_index("source_meta")
    marks = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": evil}
    field = pa.field("source_meta", pa.string(), metadata=marks)
    metadata = {**METADATA, "schema_version": "1", "pandas": evil}
    pq.write_table(table.set_column(at, field, table.column(at)).replace_schema_metadata(metadata), "run.parquet")
    for command in (["inspect"], ["show"], ["report", "-o", "page.html"], ["export", "--format=jsonl", "-o=out"]):
        with pytest.raises(SystemExit) as ended:
            bon_in_this_process([*command, "run.parquet"])
        assert ended.value.code == 0
    read_run(Path("run.parquet"))
    assert not canary.exists()
    pickle.loads(evil)
    assert canary.exists()  # so it would have been seen


@pytest.mark.parametrize("verifier", ["os.system 1", "os:system", "../evil", "bon_hydra.verifiers.code", "tools"])
def test_a_verifier_is_a_name_that_is_installed(
    tmp_path: Path, verifier: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dotted name in the file's column is a name nobody has; tools that are no JSON are said to be that."""
    table = pq.read_table(write_mixed(tmp_path / "run.parquet"))
    column = "tools" if verifier == "tools" else "verifier"
    at = table.schema.get_field_index(column)
    texts = pa.array([verifier] * len(table), pa.string())
    pq.write_table(table.set_column(at, table.schema.field(at), texts), tmp_path / "run.parquet")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        bon_in_this_process(["verify", "run.parquet", "--write"])
    told = capsys.readouterr().err
    assert (ended.value.code, "cannot be judged again" in told, told.count("\n")) == (2, True, 1)
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.endswith(".part")) == ["run.parquet"]


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ question.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.environ }}",
        "{{ ''|attr('__class__') }}",
        "{{ ('{0.__class__.__init__.__globals__}'|attr('format'))(question) }}",
        "{{ ['{0.__class__}']|map('format', question)|list }}",
        "{{ '{0.__class__}'.format(question) }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}{{ os.environ }}",
        "{{ range(1000000000)|list }}",
        "{{ lipsum.__globals__ }}",
    ],
)
def test_a_prompt_template_reaches_nothing_but_its_row(template: str) -> None:
    """Refused, or rendered as the text it is."""
    query = Query("id", "math", "1+1", ({"role": "user", "content": "1+1"},), None, "2", "math")
    try:
        (message,) = render(query, PromptConfig(template=template))
    except ConfigError:
        return
    assert not any(word in message["content"] for word in ("class", "environ", "globals", "root:", "built-in"))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FakeApi, Path]]:
    """A server, and a folder with one finished run that asked it."""
    cwd = tmp_path_factory.mktemp("done")
    with FakeApi(reply=sum_of) as api:
        first = run(cwd, *asking(api.url, additions(cwd, 2), "num_candidates=1", "experiment_name=first"))
        assert first.returncode == 0, first.stderr
        yield api, cwd


def altered(done: tuple[FakeApi, Path], target: Path, **changes: Any) -> Path:
    """The run's file with some keys of its configuration changed."""
    file = parquets(done[1])[0]
    table = pq.read_table(file)
    config = config_from(metadata_of(file)["config_yaml"], "theirs")
    for key, value in changes.items():
        node: Any = config
        *names, last = key.split("__")
        for name in names:
            node = getattr(node, name)
        setattr(node, last, value)
    metadata = {**table.schema.metadata, b"config_yaml": resolved_yaml(config).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), target)
    return target


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data_files", "http://169.254.169.254/latest/meta-data.jsonl"),
        ("data_files", {"train": ["sftp://me@inside/rows.jsonl"]}),
        ("data_files", "zip://rows.jsonl::https://example.org/rows.zip"),
        ("path", "https://example.org/set"),
        ("sources.taco", "smb://inside/share"),
    ],
)
def test_data_from_an_address_wants_the_users_word(
    done: tuple[FakeApi, Path], tmp_path: Path, key: str, value: Any
) -> None:
    """Exit 2, one line with the address, and nothing fetched or asked; the Hub alone is known."""
    file = altered(done, tmp_path / "theirs.parquet", **{f"dataset__{key.replace('.', '__')}": value})
    asked = done[0].models_requests
    refused = apart(tmp_path, "rerun", str(file), "--trust-host", "127.0.0.1")
    assert (refused.returncode, "not on the Hub" in refused.stderr, refused.stderr.count("\n")) == (2, True, 1)
    assert f"dataset.{key}" in refused.stderr
    assert done[0].models_requests == asked
    assert sorted(path.name for path in tmp_path.iterdir()) == ["theirs.parquet"]


def test_local_files_that_a_run_from_elsewhere_reads_are_named(done: tuple[FakeApi, Path], tmp_path: Path) -> None:
    """Before it starts, with where their text goes; a folder's loading script is not run."""
    script = tmp_path / "set" / "set.py"
    script.parent.mkdir()
    script.write_text(f"open({str(tmp_path / 'canary')!r}, 'w')\n")
    file = altered(done, tmp_path / "theirs.parquet", dataset__path=str(script.parent), dataset__data_files=None)
    refused = apart(tmp_path, "rerun", str(file), "--trust-host", "127.0.0.1")
    assert refused.returncode == 2
    assert f"reads {script.parent}, and that file's text goes to {done[0].url}" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "canary").exists()


MOVED: dict[str, dict[str, Any]] = {
    "would write": {"output__file": "/tmp/not-here/precious.parquet"},
    "would make": {"output__store": "/tmp/not-here/store.sqlite"},
    "unconfined": {"runner__sandbox": None},
    "OPENAI_API_KEY": {},
}


@pytest.mark.parametrize("would", MOVED)
def test_a_run_that_lies_where_it_was_not_made_is_not_gone_on_with_blindly(
    done: tuple[FakeApi, Path], tmp_path: Path, would: str
) -> None:
    """`bon resume` takes a run at its word, so a stranger's is refused with what it would do: exit 2, nothing asked."""
    folder = tmp_path / "got"
    shutil.copytree(parquets(done[1])[0].parent, folder)
    config = config_from((folder / "resolved.yaml").read_text(), "theirs")
    for key, value in MOVED[would].items():
        group, name = key.split("__")
        if name == "sandbox":
            config.runner.sandbox.allow_unsafe = True
        else:
            setattr(getattr(config, group), name, value)
    if would != "OPENAI_API_KEY":
        config.model.api_key_env = None
    (folder / "resolved.yaml").write_text(resolved_yaml(config))
    summary = json.loads((folder / "summary.json").read_text()) | {"status": "interrupted"}
    (folder / "summary.json").write_text(json.dumps(summary))
    asked = len(done[0].requests), done[0].models_requests
    refused = apart(tmp_path, "resume", str(folder))
    assert (refused.returncode, would in refused.stderr, "bon rerun" in refused.stderr) == (2, True, True)
    assert (len(done[0].requests), done[0].models_requests) == asked
    assert not Path("/tmp/not-here").exists()


def test_links_in_a_strangers_folder_lead_nowhere(done: tuple[FakeApi, Path], tmp_path: Path) -> None:
    """Files that a command writes beside a run do not follow links that wait there under their names."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    folder = tmp_path / "got"
    shutil.copytree(parquets(done[1])[0].parent, folder)
    (file,) = folder.glob("*.parquet")
    for name in ("summary.json.part", "resolved.yaml.part", f"{file.name}.part", f"{file.name}.verify.part"):
        (folder / name).symlink_to(precious)
    for name in ("run.log", "sweep.json.part"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(precious)
    told = apart(tmp_path, "verify", str(folder), "--write")
    assert told.returncode == 0, told.stderr
    config = config_from((folder / "resolved.yaml").read_text(), "theirs")
    config.output.dir = str(tmp_path)
    (folder / "resolved.yaml").write_text(resolved_yaml(config))
    summary = json.loads((folder / "summary.json").read_text()) | {"status": "interrupted"}
    (folder / "summary.json").write_text(json.dumps(summary))
    told = apart(tmp_path, "resume", str(folder))
    assert told.returncode == 0, told.stderr
    assert precious.read_text() == "mine"


def test_a_strangers_sweep_deletes_nothing_and_stays_in_its_folder(tmp_path: Path) -> None:
    """Its record may name any store as its private one, and any folder as a job's."""
    precious = tmp_path / "store.sqlite"
    precious.write_text("mine")
    sweep = tmp_path / "sweep"
    (sweep / "0_x").mkdir(parents=True)
    (sweep / "0_x" / "resolved.yaml").write_text(resolved_yaml(Config()))
    point = {"number": 0, "folder": "0_x", "swept": {}, "overrides": [], "config_file": "", "status": "complete"}
    record = {"sweep_id": "s", "experiment": "e", "started_at": "", "overrides": [], "side_by_side": 1, "host": "h"}
    for folder, code in (("0_x", 0), ("../other", 2), ("/etc", 2), ("..", 2), (COMMANDS, 2)):
        points = [point | {"folder": folder, "exit_code": 0}]
        (sweep / "sweep.json").write_text(json.dumps(record | {"private_store": str(precious), "points": points}))
        told = apart(tmp_path, "resume", str(sweep))
        assert (told.returncode, "Traceback" in told.stderr) == (code, False), told.stderr
        assert raw(told.stderr + told.stdout) == set()
        assert precious.read_text() == "mine"
    assert SECRET not in told.stderr
