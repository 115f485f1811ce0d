r"""The data sets that Nemotron's code split points to: question and tests by data set, split and row number.

A row of BAAI/TACO, and likewise of codeparrot/apps; with `fn_name` the tests are calls, without it texts for a program:

    {"question": "Write a function `sum_even(numbers)` …", "starter_code": "def sum_even(numbers):\n\t", "solutions": "[…]",
     "input_output": "{\"fn_name\": \"sum_even\", \"inputs\": [[[1, 2, 3, 4]], …], \"outputs\": [[6], …]}", …}

of deepmind/code_contests:

    {"name": "1575_A. Another Sorting Problem", "description": "Andi and Budi were given …",
     "public_tests": {"input": ["5 2\nAA\n…"], "output": ["5 2 1 3 4\n"]}, "private_tests": {…}, "generated_tests": {…}, …}

and of open-r1/codeforces:

    {"id": "852/A", "description": "…", "input_format": "…", "output_format": "…", "note": null, "input_mode": "stdio",
     "examples": [{"input": "1\n", "output": "1\n"}], "official_tests": [{"input": "1\n", "output": "1\n"}, …], …}
"""  # noqa: E501

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bon_hydra.checks import nearest
from bon_hydra.queries.json_numbers import as_text, dumps, loads
from bon_hydra.queries.lookup import Table
from bon_hydra.queries.parts import Row, SkippedRow
from bon_hydra.schema import ConfigError, SourcesConfig


class SourceError(Exception):
    """A source that cannot be read; says which, why, and how it can be given."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What a row of the code split lacks."""

    question: str
    tests: str
    """The reference, as the code verifier reads it."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A data set on the Hub, and how a row of it becomes a problem."""

    repository: str
    revision: str
    columns: tuple[str, ...]
    optional: tuple[str, ...]
    read: Callable[[Row], Problem]


class Sources:
    """The sources, each opened when the first row points to it. `paths` are local copies or URLs, by source."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._paths = paths
        self._tables: dict[tuple[str, str], Table | None] = {}

    def problem(self, dataset: Any, split: Any, index: Any) -> Problem:
        """The problem that a row's metadata names.

        Raises:
            SkippedRow: there is no such source, split or row, or none that can be asked and tested.
            SourceError: the source itself cannot be read.
        """
        name = str(dataset).rpartition("/")[2].lower()
        if name not in ORIGINS:
            raise SkippedRow(f"metadata.dataset is {dataset!r}, none of {', '.join(ORIGINS)}")
        number = int(index) if re.fullmatch(r"\d{1,12}", str(index)) else None
        if number is None or not isinstance(split, str) or not split.isidentifier():
            raise SkippedRow(f"metadata.split and index are {split!r} and {index!r}, no row of {name}")
        try:
            table = self._table(name, split)
            if table is None:
                raise SkippedRow(f"{name} has no split {split!r}")
            if number >= len(table):
                raise SkippedRow(f"{name} {split} has {len(table)} rows, none of index {number}")
            row = table.row(number)
        except (OSError, ValueError) as error:
            raise _unreadable(name, str(self._paths.get(name) or ORIGINS[name].repository), error) from error
        try:
            return ORIGINS[name].read(row)
        except SkippedRow as reason:
            raise SkippedRow(f"{name} {split} {number}: {reason}") from None

    def _table(self, name: str, split: str) -> Table | None:
        if (name, split) not in self._tables:
            origin = ORIGINS[name]
            root = self._paths.get(name) or _pinned(name, origin)
            try:
                table = Table(root, split, origin.columns, origin.optional, _cache_folder())
            except FileNotFoundError:
                table = None
            except KeyError as column:
                raise SourceError(f"dataset.sources.{name}: {root} has no column {column}") from None
            self._tables[name, split] = table
        return self._tables[name, split]


def open_sources(config: SourcesConfig, demo: Path | None) -> Sources:
    """The sources as configured; `demo` is the folder of the packaged ones where these are meant.

    Raises:
        ConfigError: a local copy that is not there.
    """
    paths = {name: str(demo / name) for name in ORIGINS if demo is not None and (demo / name).is_dir()}
    for name in ORIGINS:
        given = getattr(config, name)
        if not given:
            continue
        path = given if "://" in given else str(Path(given).expanduser().absolute())
        if "://" not in path and not Path(path).exists() and not glob.glob(path, recursive=True):  # noqa: PTH207
            parent = Path(path).parent
            near = nearest(Path(path).name, [p.name for p in parent.iterdir()]) if parent.is_dir() else ""
            raise ConfigError(f"dataset.sources.{name}: got {given!r}, and there is no such folder or file{near}")
        paths[name] = path
    return Sources(paths)


def _cache_folder() -> Path:
    from bon_hydra.embedded import cache_folder

    return cache_folder() / "sources"


def _pinned(name: str, origin: Origin) -> str:
    """The data set on the Hub at the commit that its revision is now."""
    from huggingface_hub import HfApi

    try:
        commit = HfApi().dataset_info(origin.repository, revision=origin.revision).sha
    except Exception as error:
        raise _unreadable(name, origin.repository, error) from error
    return f"hf://datasets/{origin.repository}@{commit}"


def _unreadable(name: str, where: str, error: Exception) -> SourceError:
    why = str(error).strip().partition("\n")[0] or type(error).__name__
    return SourceError(
        f"the code split's questions and tests in {where} cannot be read: {why}. A local copy of it is read by "
        f"dataset.sources.{name}=PATH"
    )


def _taco(row: Row) -> Problem:
    question = _text_of(row, "question")
    try:
        cases = loads(row.get("input_output") or "")
    except (ValueError, TypeError) as error:
        raise SkippedRow(f"input_output is not JSON: {error}") from None
    inputs, outputs = (cases.get("inputs"), cases.get("outputs")) if isinstance(cases, dict) else (None, None)
    if not isinstance(inputs, list) or not isinstance(outputs, list):
        raise SkippedRow("input_output has no lists of inputs and outputs")
    if len(inputs) != len(outputs):
        raise SkippedRow(f"its tests have {len(inputs)} inputs and {len(outputs)} outputs")
    name = cases.get("fn_name")
    if not name or not inputs:
        return _stdio(question, list(zip(inputs, outputs, strict=True)))
    if not isinstance(name, str) or not name.isidentifier():
        raise SkippedRow(f"fn_name {name!r} is no function's name")
    calls = [arguments if isinstance(arguments, list) else [arguments] for arguments in inputs]
    if not re.search(rf"\b{re.escape(name)}\b", question):
        starter = str(row.get("starter_code") or "").rstrip()
        asked = f"Start from this code:\n\n{starter}" if name in starter else f"The function is called {name}."
        question = f"{question.rstrip()}\n\n{asked}"
    return Problem(question, dumps({"kind": "calls", "fn_name": name, "inputs": calls, "outputs": outputs}))


def _code_contests(row: Row) -> Problem:
    cases: list[tuple[Any, Any]] = []
    for column in ("public_tests", "private_tests", "generated_tests"):
        tests = row.get(column) or {}
        if isinstance(tests, Mapping):  # a struct of lists, as published; else a list of structs
            cases += zip(tests.get("input") or (), tests.get("output") or (), strict=False)
        else:
            cases += [(test["input"], test["output"]) for test in tests]
    return _stdio(_text_of(row, "description"), cases)


def _codeforces(row: Row) -> Problem:
    """The question is put together as Nemotron's authors say."""
    if row.get("input_mode") not in {None, "", "stdio"}:
        raise SkippedRow(f"it reads from a {row['input_mode']}, not from standard input")
    if row.get("interaction_format"):
        raise SkippedRow("it is interactive")
    if row.get("generated_checker"):
        raise SkippedRow("several answers are right, and only a checker of its own knows which")
    examples = row.get("examples") or []
    sections = [_text_of(row, "description")]
    for title, column in (("Input", "input_format"), ("Output", "output_format")):
        if row.get(column):
            sections += [title, row[column]]
    sections += ["Examples"] if examples else []
    for example in examples:
        sections += ["Input", example["input"], "Output", example["output"]]
    if row.get("note"):
        sections += ["Note", row["note"]]
    tests = row.get("official_tests") or examples
    return _stdio("\n\n".join(sections), [(test["input"], test["output"]) for test in tests])


def _stdio(question: str, cases: list[tuple[Any, Any]]) -> Problem:
    if not cases:
        raise SkippedRow("it has no tests")
    inputs, outputs = [_joined(given) for given, _ in cases], [_joined(wanted) for _, wanted in cases]
    return Problem(question, dumps({"kind": "stdio", "inputs": inputs, "outputs": outputs}))


def _joined(value: Any) -> str:
    """Text for or from a program; some tests give its lines in a list."""
    return "\n".join(map(_joined, value)) if isinstance(value, list) else as_text(value) or ""


def _text_of(row: Row, column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str) or not value.strip():
        raise SkippedRow(f"no text in column {column!r}")
    return value


_TACO = (("question", "input_output"), ("starter_code",), _taco)
_CODEFORCES = ("input_format", "output_format", "interaction_format", "examples", "note", "input_mode")

ORIGINS = {
    "taco": Origin("BAAI/TACO", "main", *_TACO),
    # Its main branch has no Parquet files.
    "apps": Origin("codeparrot/apps", "refs/convert/parquet", *_TACO),
    "code_contests": Origin(
        "deepmind/code_contests",
        "main",
        ("description", "public_tests"),
        ("private_tests", "generated_tests"),
        _code_contests,
    ),
    "codeforces": Origin(
        "open-r1/codeforces",
        "main",
        ("description", "official_tests"),
        (*_CODEFORCES, "generated_checker"),
        _codeforces,
    ),
}
"""The sources by the last part of what metadata.dataset calls them."""
