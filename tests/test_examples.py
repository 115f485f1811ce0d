"""The pages of docs/examples: their commands do what they say, in small, against the API that the tests bring."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from app import run
from bon_command import bon
from fake_api import FakeApi, Request
from hydra import compose, initialize_config_dir

import bon_hydra.__main__  # noqa: F401 - it registers the schema
from bon_hydra.checks import check
from bon_hydra.options import CONF
from bon_hydra.queries.files import DEMO

PAGES = sorted((Path(__file__).parents[1] / "docs" / "examples").glob("*.md"))
ELSEWHERE = ("model=gpt-4o-mini", "model.name=BASE,TUNED")
"""What asks somebody else than the embedded model."""


def commands() -> Iterator[list[str]]:
    """The commands of the pages, indented by four spaces, as a shell splits them; of a page each once."""
    for page in PAGES:
        lines = re.findall(r"^    ((?:python -m bon_hydra|bon) .*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        yield from (shlex.split(line) for line in dict.fromkeys(lines))


def answers() -> Callable[[Request, int], str]:
    """To the demo's word problems now right, now wrong; to anything else that it does not know."""
    (file,) = (DEMO / "data").glob("math-*.parquet")
    rows = pq.read_table(file, columns=["messages", "metadata"]).to_pylist()
    right = {row["messages"][0]["content"]: json.loads(row["metadata"])["expected_answer"] for row in rows}

    def answer(request: Request, choice: int) -> str:
        known = next((right[asked] for asked in right if request.question.startswith(asked)), "unknown")
        wrong = (request.order + choice) % 2
        return f"In answer {request.order}.{choice} it is \\boxed{{{0 if wrong else known}}}."

    return answer


def test_every_example_has_a_page_and_what_asks_others_composes() -> None:
    """Each file of an example names its page."""
    for page in (page for page in PAGES if page.stem not in ("README", "reward_data")):
        assert f"docs/examples/{page.name}" in (CONF / "experiment" / f"{page.stem}.yaml").read_text(encoding="utf-8")
    others = [command[3:] for command in commands() if {*command} & {*ELSEWHERE}]
    assert others
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for overrides in others:
            first = [re.sub(r",.*", "", one) for one in overrides if one != "-m"]
            assert check(compose("config", overrides=first)).experiment_name


def test_the_commands_of_the_examples_do_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those for the embedded model, of two queries and the ends of each sweep; and what looks at their results."""
    monkeypatch.chdir(tmp_path)
    with FakeApi(answers()) as api:
        server = ["model=openai-compatible", f"model.base_url={api.url}", "model.name=fake", "max_queries=2"]
        small = [*server, "runner.workers=1", "concurrency=8"]
        for command in commands():
            if command[0] == "bon":
                code, _, err = bon(capsys, *command[1:])
                assert code == 0, (command, err)
            elif not {*command} & {*ELSEWHERE}:
                named = [re.sub(r"^([a-z_.]+=[^,\[]+),.*,", r"\1,", one) for one in command[3:]]
                named = [one for one in named if one.partition("=")[0] not in ("model", "max_queries")]
                done = run(tmp_path, *named, *small)
                assert done.returncode == 0, (command, done.stderr)
