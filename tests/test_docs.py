"""README.md and docs/: every command and snippet does what it says, in its smallest form; names and links are right.

`bon` really runs, on two runs of the tutorial and on a sweep. A run is composed and checked, as it would be before it
asks. What no rule covers fails: a new kind of snippet needs a rule of its own.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from app import additions, asking, environment, metadata_of, parquets, run, sum_of
from doc_blocks import PAGES, ROOT, Block, Command, anchors, blocks, commands, inline
from fake_api import FakeApi
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from test_conf import run_again
from typer.main import get_command

from bon_hydra import cli, flat, load_run, notebook
from bon_hydra.__main__ import TAKING_A_VALUE, flags_first
from bon_hydra.checks import OPEN_MAPS, check, known_keys
from bon_hydra.options import CONF
from bon_hydra.queries import load
from bon_hydra.queries.sources import open_sources
from bon_hydra.records import METADATA
from bon_hydra.results import SCHEMA
from bon_hydra.saved import load_config
from bon_hydra.schema import Config, DatasetConfig

TUTORIAL = ROOT / "docs" / "getting-started.md"
ELSEWHERE = {"apt-get", "curl", "hf", "llama-server", "ollama", "pytest", "ray", "vllm", "wandb", "zensical"}
"""Programs that are not ours: that they are named is all that is looked at."""
SWEEPS = r"outputs/latest/[\d*]|compare outputs/latest(?! outputs)"
"""What only a sweep understands, in a command."""
OWN_OPTIONS = {"mine"}
"""Options that the docs' own files are."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tutorial's files and its two runs, and a sweep of four points, asked of a fake API."""
    folder = tmp_path_factory.mktemp("docs")
    for block in blocks(TUTORIAL):
        for command in commands(block) if block.language == "bash" else ():
            if command.written is not None:
                write(command, folder)
    rows = [json.loads(line) for line in (folder / "mine.jsonl").read_text(encoding="utf-8").splitlines()]
    answers = {row["question"]: row["answer"] for row in rows}

    def tutorial(request: Any, choice: int) -> str:
        question = request.question.partition("\n")[0]
        return f"It is \\boxed{{{answers[question]}}}." if (len(question) + choice) % 3 else "It is \\boxed{1}."

    with FakeApi(tutorial, models=["fake-model"]) as api, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        server = ["model=openai-compatible", f"model.base_url={api.url}", "runner.workers=1"]
        server += ["dataset.data_files={math: mine.jsonl}", "splits=[math]"]
        for more in (["experiment=mine"], ["experiment=mine", "prompt.examples=null", "experiment_name=without"]):
            done = run(folder, "--config-dir", "my_conf", *more, *server)
            assert done.returncode == 0, done.stderr
    with FakeApi(lambda request, choice: sum_of(request) if (len(request.question) + choice) % 2 else "No.") as api:
        grid = [
            "-m",
            "num_candidates=4,1",
            "temperature=0.3,1.2",
            "dataset.verifier=exact",
            "model.choices_per_request=4",
        ]
        swept = run(folder, *asking(api.url, additions(folder, 6)), *grid)
        assert swept.returncode == 0, swept.stderr
    made = {path.parent.name.partition("_")[2]: path for path in parquets(folder) if path.name != "sweep.parquet"}
    for name in ("baseline.parquet", "improved.parquet", "theirs.parquet", "A.parquet", "B.parquet"):
        shutil.copy(made["without" if name in ("improved.parquet", "B.parquet") else "mine"], folder / name)
    (folder / "experiments" / "results").mkdir(parents=True)
    for name in ("baseline", "improved"):
        shutil.copy(folder / f"{name}.parquet", folder / "experiments" / "results")
    for name in ("other/store.sqlite", "more.sqlite"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(folder / "outputs" / "store.sqlite", folder / name)
    return folder


def of_name(folder: Path, name: str) -> Path:
    """The folder of the fixture's run or sweep whose own name ends so."""
    return next(path for path in (folder / "outputs").glob(f"2*/*_{name}"))


# ---- commands


def composed(words: Sequence[str]) -> Config:
    """What `python -m bon_hydra …` would run first; of a sweep its last point. `…` is left out."""
    flags: list[str] = []
    overrides: list[str] = []
    options = {"-cd": "", "-cn": "config"}
    rest = iter(flags_first(list(words)))
    for word in rest:
        if word in TAKING_A_VALUE:
            options[{"--config-dir": "-cd", "--config-name": "-cn"}.get(word, word)] = next(rest)
        else:
            (flags if word.startswith("-") else overrides).append(word)
    assert set(flags) <= {"-m", "--help", "--multirun"}, flags
    folder, other = (options["-cd"], CONF) if options["-cn"] == "resolved" else (CONF, options["-cd"])
    path = f"hydra.searchpath=[file://{Path(other).absolute()}]" if other else "hydra.searchpath=[]"
    return compose_once(
        str(folder), options["-cn"], path, *last_point([o for o in overrides if "…" not in o], "-m" in flags)
    )


@cache
def compose_once(folder: str, name: str, *overrides: str) -> Config:
    """Pages name the same commands, and each composition takes a third of a second."""
    with initialize_config_dir(str(Path(folder).resolve()), version_base="1.3"):
        return check(compose(name, overrides=list(overrides)))


def last_point(overrides: Sequence[str], swept: bool) -> list[str]:
    """Of a sweep over lists; without one just the overrides, in which no list may stand."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    assert swept or not [one.input_line for one in parsed if one.is_sweep_override()]
    return [
        f"{one.get_key_element()}={list(one.sweep_string_iterator())[-1]}" if one.is_sweep_override() else text
        for one, text in zip(parsed, overrides, strict=True)
    ]


def bon(words: Sequence[str], folder: Path) -> None:
    """`bon`, in this process; a rerun is composed, and what needs a shell of its own is told which."""
    latest = of_name(folder, "without")
    sweep = of_name(folder, "custom_sweep")
    known = {"A": of_name(folder, "mine"), "B": latest, "RUN_A": of_name(folder, "mine"), "RUN_B": latest}
    known |= {"SWEEP": sweep, "RUN": latest, "HOST": Path("127.0.0.1"), "level": Path("verifier")}
    given = [word.strip("[]") if re.match(r"\[-|.*\w]$", word) and "=" not in word else word for word in words]
    args = [str(known.get(word.rstrip("…"), dated(word, sweep))) for word in given if word != "[RUN…]" and word != "…"]
    if args[0] in ("rerun", "merge") or any("://" in arg for arg in args):
        command = get_command(cli.app).commands[args[0]]  # type: ignore[attr-defined]
        asked = command.make_context(args[0], args[1:]).params
        if args[0] != "rerun":  # shards and buckets are beyond this fixture: that it is a call of the command is seen
            return
        run_again(load_config(latest / "resolved.yaml"), *last_point(asked["overrides"] or [], asked["multirun"]))
        return
    if args[0] == "completion":
        args = ["completion", "bash"]
    if args[0] == "export" and (folder / args[args.index("-o") + 1]).exists():
        shutil.rmtree(folder / args[args.index("-o") + 1])
    if args[0] == "export":
        args += ["--validation", "0"]  # a handful of questions
    try:
        cli.main(args)
    except SystemExit as end:
        if end.code:
            raise


def dated(word: str, sweep: Path) -> str:
    """A run of the docs' as one of the fixture's: of a date the sweep, of a sweep's later points the first."""
    return re.sub(
        r"^outputs/latest/(1\d\*|\*.+)", "outputs/latest/0*", re.sub(r"^outputs/2026-[-\d*]+/\S+", str(sweep), word)
    )


def seeds_command(words: Sequence[str], folder: Path) -> None:
    """The flat file and its flags, translated and composed."""
    config, flags, overrides = flat._read(words)
    values = flat.read_flat(flat._found(config, ROOT / "scripts")) | flags
    check_composes(["experiment_name=flat", *flat.translate(values, overrides, named="model" in flags)], folder)


def check_composes(words: Sequence[str], _: Path) -> None:
    composed(words)


def script(words: Sequence[str], folder: Path) -> None:
    """A file of ours that takes these flags."""
    if words[0] == "scripts/generate_best_of_n.py":
        return seeds_command(words[1:], folder)
    if words[0] == "scripts/inspect_experiment.py":
        return bon(["inspect", *(str(path) for name in words[1:] for path in sorted(folder.glob(name)))], folder)
    source = (ROOT / words[0]).read_text(encoding="utf-8")
    assert [word for word in words[1:] if word.startswith("--") and f'"{word}"' not in source] == []
    return None


def python(words: Sequence[str], folder: Path) -> None:
    if list(words[:2]) == ["-m", "bon_hydra"]:
        check_composes(words[2:], folder)
    elif words[0] != "-m":
        script(words, folder)
    else:
        assert importlib.util.find_spec(words[1]), words


def pip(words: Sequence[str], _: Path) -> None:
    """Extras that there are."""
    assert words[0] == "install"
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    for extra in re.findall(r"\[([\w,]+)\]", " ".join(words)):
        assert [name for name in extra.split(",") if f"\n{name} =\n" not in setup] == []


def sbatch(words: Sequence[str], folder: Path) -> None:
    """What it wraps, as the first job of the array."""
    wrapped = words[words.index("--wrap") + 1].replace("$SLURM_ARRAY_TASK_ID", "1")
    python(shlex.split(wrapped)[1:], folder)


def write(command: Command, folder: Path) -> None:
    """`cat > FILE <<'EOF'`."""
    assert command.words[:2] == ("cat", ">")
    path = folder / command.words[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(command.written or "", encoding="utf-8")


def execute(command: Command, folder: Path) -> None:
    """The rule for a command, by its first word."""
    head, rest = command.words[0], command.words[1:]
    if command.written is not None:
        return write(command, folder)
    if head in ELSEWHERE or head in ("cd", "mkdir", "."):
        return None
    if head == "export":
        assert re.fullmatch(r"[A-Z_]+=\S+", rest[0])
        return None
    if head == "bash":
        assert (ROOT / rest[0]).is_file()
        return None
    rules: dict[str, Callable[[Sequence[str], Path], None]] = {
        "bon": bon,
        "bon-hydra": check_composes,
        "pip": pip,
        "python": python,
        "python3": python,
        "sbatch": sbatch,
    }
    assert head in rules, "no rule covers it"
    return rules[head](rest, folder)


# ---- snippets


def python_block(block: Block, names: dict[str, Any]) -> None:
    """Runs, in one namespace a page; a module of ours that is quoted is the file's own text; trl's is only compiled."""
    code = compile(block.text, str(block), "exec")
    if "bon_hydra.queries.parts" in block.text:
        assert any(block.text in path.read_text(encoding="utf-8") for path in (ROOT / "bon_hydra/queries").glob("*.py"))
    elif "from trl import" not in block.text:
        exec(code, names)


def yaml_block(block: Block, folder: Path) -> None:
    """A file with its path at its beginning, and behind that the command that uses it; or the flat file."""
    first = re.match(r"(?:# @.*\n)?# (\S+\.yaml)(?: +python -m bon_hydra (.*))?\n", block.text)
    assert first, "no path at its beginning"
    path = folder / first[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text, encoding="utf-8")
    if first[2]:
        composed(first[2].split())
    else:
        check_composes(flat.translate(flat.read_flat(path)), folder)


def json_block(block: Block) -> None:
    """A row that the format in its title reads, with a reference."""
    title = [word.partition("=") for word in re.findall(r"\S+=(?:\{.*?\}|\S+)", block.title)]
    keys = [f"{key.removeprefix('dataset.')}={value}" for key, _, value in title]
    given = OmegaConf.create(
        {key: OmegaConf.create(f"v: {value}").v for key, _, value in (k.partition("=") for k in keys)}
    )
    dataset = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(DatasetConfig), {"path": "json"}, given))
    assert isinstance(dataset, DatasetConfig)
    parts = load._parts(dataset, open_sources(dataset.sources, None))[1](
        json.loads(block.text), (dataset.splits or ["train"])[0]
    )
    assert parts.messages
    assert parts.reference


def toml_block(block: Block) -> None:
    assert "bon_hydra.verifiers" in tomllib.loads(block.text)["project"]["entry-points"]


def mermaid_block(block: Block) -> None:
    """Its boxes are modules."""
    named = re.findall(r'\["?\(?"?(\w+)/?<br>', block.text)
    assert named
    assert [name for name in named if not importlib.util.find_spec(f"bon_hydra.{name}")] == []


def try_block(block: Block, folder: Path, names: dict[str, Any]) -> None:
    """The rule for a block, by its language."""
    match block.language:
        case "text" | "":
            assert not re.search(r"^(bon|bon-hydra|pip|python3?) ", block.text, re.MULTILINE), "a command among outputs"
        case "python":
            python_block(block, names)
        case "yaml":
            yaml_block(block, folder)
        case "json":
            json_block(block)
        case "toml":
            toml_block(block)
        case "mermaid":
            mermaid_block(block)
        case _:
            raise AssertionError(f"no rule covers {block.language!r}")


def point_latest(folder: Path, at_sweep: bool) -> None:
    latest = folder / "outputs" / "latest"
    latest.unlink(missing_ok=True)
    latest.symlink_to(of_name(folder, "custom_sweep" if at_sweep else "without"), target_is_directory=True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_command_and_snippet_does_what_it_says(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All pages, one after the other, in one folder; a page's snippets share their names."""
    monkeypatch.chdir(place)
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(notebook, "run_experiment", lambda *_: load_run(of_name(place, "mine")))
    wrong = []
    for page in PAGES:
        names: dict[str, Any] = {}
        for block in blocks(page):
            tried: list[Block | Command] = [*commands(block)] if block.language == "bash" else [block]
            for one in tried:
                point_latest(place, page.name == "sweeps.md" or bool(re.search(SWEEPS, str(one))))
                try:
                    execute(one, place) if isinstance(one, Command) else try_block(one, place, names)
                except (Exception, SystemExit) as error:
                    wrong.append(f"{one}: {type(error).__name__}: {error} {capsys.readouterr().err[-300:]}")
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


# ---- names, links and messages


def test_what_the_text_calls_a_command_a_key_or_an_option_is_one() -> None:
    """Code in running text: `bon` commands with their flags, our scripts, and the keys of a configuration."""
    known, wrong = set(known_keys()), []
    app = get_command(cli.app)
    for page in PAGES:
        for where, text in inline(page):
            words = text.split()
            if words[0] == "bon" and words[1:] and not words[1].startswith("-"):
                command = app.commands.get(words[1])  # type: ignore[attr-defined]
                if command is not None and hasattr(command, "commands"):
                    command = command.commands.get(words[2]) if len(words) > 2 else command
                flags = {flag for option in command.params for flag in option.opts} if command else set()
                asked = [word.strip("[]").partition("=")[0] for word in words[2:] if word.strip("[").startswith("--")]
                if command is None or set(asked) - flags:
                    wrong.append(f"{where}: {text}")
            elif words[0] == "python" and len(words) > 1 and words[1].endswith(".py"):
                wrong += [f"{where}: {text}"] if not (ROOT / words[1]).is_file() else []
            elif key := re.fullmatch(r"((?:dataset|prompt|model|output|runner)\.[a-z_.0-9]*[a-z0-9])(=.*)?", text):
                wrong += [f"{where}: {text}"] if key[1] not in known and not key[1].startswith(OPEN_MAPS) else []
            elif group := re.fullmatch(r"(dataset|prompt|model|sampling|experiment)=([\w.-]+)", text):
                known_option = group[2] in OWN_OPTIONS or (CONF / group[1] / f"{group[2]}.yaml").exists()
                wrong += [] if known_option else [f"{where}: {text}"]
    assert wrong == []


def test_every_link_and_picture_leads_somewhere() -> None:
    """On GitHub; of the pages of docs/ the site's build looks too. The site has every page in its contents."""
    wrong = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            path, _, anchor = target.partition("#")
            there = (page.parent / path).resolve() if path else page
            if "://" not in target and (not there.exists() or (anchor and anchor not in anchors(there))):
                wrong.append(f"{page.name}: {target}")
    assert wrong == []
    contents = re.findall(r"^ +- [^#\n]*?: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(contents) == sorted(str(page.relative_to(ROOT / "docs")) for page in PAGES if "docs" in page.parts)


def said_by_the_program() -> list[str]:
    """Every text in its source, … for what is put into it."""
    texts = []
    for path in (ROOT / "bon_hydra").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                texts.append("".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(re.sub(r"%(\.\d+)?[sdf]|\{\w*\}", "…", node.value))
    return texts


def test_every_message_of_the_troubleshooting_page_is_one_of_the_programs() -> None:
    """… stands for anything; the rest has to be there to the letter."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"\*\*`(.+?)`\*\*", page)
    assert len(messages) > 50
    texts = said_by_the_program()
    assert [message for message in messages if not any(holds(text, message) for text in texts)] == []


def holds(text: str, message: str) -> bool:
    """Whether the pieces of a message stand in a text, one behind the other."""
    at = 0
    for piece in filter(str.strip, message.split("…")):
        at = text.find(piece, at) + len(piece)
        if at < len(piece):
            return False
    return True


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without its head."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8").split(f"\n## {heading}\n")[1]
    rows = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert rows
    return [[cell.strip() for cell in row.strip("|\n").split(" | ")] for row in rows[0].splitlines()[2:]]


def test_the_page_on_the_parquet_file_has_its_columns_and_metadata(place: Path) -> None:
    """Names, types and order from the writer; which metadata and totals there are, and which nulls, from a real run."""
    import pyarrow.parquet as pq

    columns = table("parquet.md", "Columns")
    assert [(row[0].strip("`"), row[1]) for row in columns] == [(field.name, str(field.type)) for field in SCHEMA]
    file = next(of_name(place, "mine").glob("*.parquet"))
    never_null = [row[0].strip("`") for row in columns if row[2] != "yes"]
    found = pq.read_table(file)
    assert [name for name in never_null if found.column(name).null_count] == []
    metadata = metadata_of(file)
    keys = re.findall(r"`(\w+)`", " ".join(row[0] for row in table("parquet.md", "Metadata")))
    assert sorted(keys) == sorted(METADATA) == sorted(metadata)
    page = (ROOT / "docs" / "parquet.md").read_text(encoding="utf-8").partition("`totals` holds")[2]
    assert [name for name in json.loads(metadata["totals"]) if f"`{name}`" not in page] == []
