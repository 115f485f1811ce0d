"""The seed's commands and snippets: a flat YAML file, flags over it, one file with everything in it."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from app import additions, metadata_of, parquets, run, sum_of
from fake_api import FakeApi, Request
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from bon_hydra.checks import check
from bon_hydra.flat import KEYS, quoted, read_flat, translate
from bon_hydra.options import CONF
from bon_hydra.schema import Config, ConfigError

SCRIPTS = Path(__file__).parent.parent / "scripts"
EARLIER = SCRIPTS.parent / "docs" / "earlier-system.md"
DEMO = Path(__file__).parent.parent / "bon_hydra" / "queries" / "demo"


def generate(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python scripts/generate_best_of_n.py …`, to its end."""
    return run(cwd, *arguments, module=str(SCRIPTS / "generate_best_of_n.py"))


def flat(folder: Path, **values: Any) -> str:
    """A flat YAML file with these keys; the path to give, relative to `folder`."""
    path = folder / "experiments" / "mine.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return "experiments/mine.yaml"


def composed(*overrides: str) -> Config:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return check(compose("config", overrides=list(overrides)))


def test_a_flat_file_runs_as_the_seed_had_it(tmp_path: Path) -> None:
    """Every key; flags over the file; the file named in `output:`; metadata with notes and the YAML's path."""
    notes = 'What: "quotes", a = and ${braces}; it\'s\nWhy: ünïcode\n'
    config = flat(
        tmp_path,
        dataset=str(DEMO),
        splits="math,tool_calling",
        streaming=False,
        max_queries=50,
        model="gpt-4o-mini",
        num_candidates=2,
        temperature=0.9,
        max_tokens=77,
        concurrency=3,
        output="experiments/results/mine.parquet",
        notes=notes,
    )
    with FakeApi() as api:
        done = generate(
            tmp_path, "--config", config, "--model", "gpt-4o", "--max-queries", "2", f"model.base_url={api.url}"
        )
        assert done.returncode == 0, done.stderr
        bodies = [request.body for request in api.requests]
        again = generate(tmp_path, "--config", config, f"model.base_url={api.url}")
        assert (again.returncode, len(api.requests)) == (2, len(bodies))
    assert "holds another run" in again.stderr
    assert sum(body.get("n", 1) for body in bodies) == 8
    assert {(b["model"], b["temperature"], b["max_tokens"]) for b in bodies} == {("gpt-4o", 0.9, 77)}
    file = tmp_path / "experiments" / "results" / "mine.parquet"
    metadata = metadata_of(file)
    assert metadata["notes"] == notes
    assert metadata["config_file"] == config
    assert (metadata["experiment"], metadata["model"], metadata["num_candidates"]) == ("mine", "gpt-4o", "2")
    assert (metadata["splits"], metadata["total_records"]) == ("math,tool_calling", "8")
    assert yaml.safe_load(metadata["config_yaml"])["dataset"]["streaming"] is False
    (parquet,) = parquets(tmp_path)
    assert parquet == file.resolve()
    assert [folder.name.endswith("_mine") for folder in (tmp_path / "outputs").glob("2*/*")] == [True]


@pytest.mark.parametrize(
    ("name", "splits", "max_queries", "n", "model", "concurrency"),
    [
        ("baseline", ["math", "code", "tool_calling"], 100, 4, "gpt-4o-mini", 10),
        ("math_focused", ["math"], 1000, 10, "gpt-4o", 10),
        ("high_throughput", ["math", "code"], 10_000, 4, "gpt-4o-mini", 50),
    ],
)
def test_the_seeds_three_files_ask_what_the_experiments_of_their_names_ask(
    name: str, splits: list[str], max_queries: int, n: int, model: str, concurrency: int
) -> None:
    """The same figures, written down twice; but for the budget and the file, which the seed's format has otherwise."""
    values = read_flat(SCRIPTS / "experiments" / f"{name}.yaml")
    assert set(values) == set(KEYS)
    assert values["output"].startswith("experiments/results/")
    config, twin = composed(*translate(values), f"experiment_name={name}"), composed(f"experiment={name}")
    assert (config.splits, config.max_queries, config.num_candidates) == (splits, max_queries, n)
    assert (config.model.name, config.concurrency) == (model, concurrency)
    config.budget_usd, config.output.file = twin.budget_usd, twin.output.file
    assert config == twin


def test_the_seeds_files_are_found_from_anywhere(tmp_path: Path) -> None:
    """`experiments/baseline.yaml` is the one beside the script where the working directory has none of its own."""
    more = ["--dataset", str(DEMO), "--splits", "math", "--max_queries=3", "--no-streaming", "dry_run=true"]
    done = generate(tmp_path, "--config", "experiments/baseline.yaml", *more)
    assert done.returncode == 0, done.stderr
    assert "3 queries x N=4 = 12 candidates" in done.stdout
    flat(tmp_path, num_candidates=7)
    (tmp_path / "experiments" / "mine.yaml").rename(tmp_path / "experiments" / "baseline.yaml")
    done = generate(tmp_path, "--config", "experiments/baseline.yaml", *more)
    assert "3 queries x N=7 = 21 candidates" in done.stdout
    assert list(tmp_path.iterdir()) == [tmp_path / "experiments"]


def test_any_model_and_any_data_set_by_its_name() -> None:
    """OpenAI's models by name; data sets of the Hub by theirs; a group of the program's own after them wins."""
    assert composed(*translate({"model": "gpt-4.1"})).model.name == "gpt-4.1"
    assert composed(*translate({"model": "gpt-4o"})).model.name == "gpt-4o"
    assert composed(*translate({"dataset": "openai/gsm8k"})).dataset.format == "gsm8k"
    assert composed(*translate({"dataset": "gsm8k"})).dataset.path == "openai/gsm8k"
    other = composed(*translate({"dataset": "someone/like-nemotron"})).dataset
    assert (other.path, other.format) == ("someone/like-nemotron", "nemotron")
    group = ["model=openai-compatible", "model.base_url=http://localhost:8000/v1"]
    assert composed(*translate({"model": "gpt-4o"}, group)).model.name is None
    assert composed(*translate({"model": "mine"}, group, named=True)).model.name == "mine"
    assert composed(*translate({"max_queries": 5}, ["max_queries=6"])).max_queries == 6


@pytest.mark.parametrize("splits", ["math,code", "math, code", ["math", "code"]])
def test_splits_are_a_list_or_joined_by_commas(splits: Any) -> None:
    """Both were written."""
    assert composed(*translate({"splits": splits})).splits == ["math", "code"]


@given(st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("\\'\"${}\n, =:#"))))
def test_a_text_comes_through_hydra_as_it_is(text: str) -> None:
    """Notes hold quotes, braces, backslashes and what looks like an interpolation."""
    override = OverridesParser.create().parse_override("notes=" + quoted(text))
    assert OmegaConf.create({"notes": override.value()}).notes == text


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--max-query", "3"], ["--max-query:", "did you mean --max-queries?", "--num-candidates"]),
        (["stray"], ["stray:", "key=value"]),
        (["--temperature", "warm"], ["temperature: got 'warm', wanted a number"]),
        (["--max-queries", "0"], ["max_queries: got 0"]),
        (["--streaming", "perhaps"], ["dataset.streaming: got 'perhaps', wanted true or false"]),
        (["max_querys=3"], ["max_querys: unknown key", "did you mean max_queries?"]),
        (["--splits", "maths"], ["splits", "did you mean math?"]),
        (["--notes"], ["--notes"]),
    ],
)
def test_a_mistake_is_one_line_and_costs_nothing(tmp_path: Path, arguments: list[str], wanted: list[str]) -> None:
    """Exit code 2; the line names what is wrong and what there is."""
    config = flat(tmp_path, dataset=str(DEMO), splits="math", output="here.parquet")
    with FakeApi() as api:
        done = generate(tmp_path, "--config", config, f"model.base_url={api.url}", *arguments)
        assert not api.requests
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert all(part in done.stderr for part in wanted), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["experiments"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("max_query: 3", "max_query: unknown key; did you mean max_queries? Known: dataset, splits"),
        ("defaults: [x]", "defaults: unknown key (a file with defaults is for python -m bon_hydra)"),
        ("model: {name: x}", "model: got {'name': 'x'}"),
        ("just words", "wanted lines such as"),
        ("a: [", "line 1: no YAML"),
        ("a: b: c", "line 1: no YAML"),
    ],
)
def test_a_flat_file_that_is_wrong_is_told_apart(tmp_path: Path, text: str, wanted: str) -> None:
    """What, where, and what is known."""
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_flat(path)
    assert wanted in str(raised.value)
    assert "\n" not in str(raised.value)


def test_without_a_file_there_is_no_run(tmp_path: Path) -> None:
    """A missing --config, or one that is not there, names the ones there are."""
    assert "--config: needs a flat YAML file" in generate(tmp_path).stderr
    done = generate(tmp_path, "--config", "experiments/base.yaml")
    assert done.returncode == 2
    assert "did you mean experiments/baseline.yaml?" in done.stderr
    assert generate(tmp_path, "--help").returncode == 0


def test_the_package_alone_has_the_command_too(tmp_path: Path) -> None:
    """For who has the wheel and no clone."""
    config = flat(tmp_path, dataset=str(DEMO), splits=["math"], max_queries=1, model="gpt-4o")
    done = run(tmp_path, "--config", config, "dry_run=true", module="bon_hydra.flat")
    assert done.returncode == 0, done.stderr
    assert "asks        gpt-4o" in done.stdout


SNIPPETS = [
    """
import pyarrow.parquet as pq

parquet_file = pq.read_table('results.parquet')
metadata = parquet_file.schema.metadata

print(metadata[b'model'].decode())  # Model name
print(metadata[b'notes'].decode())  # Experiment notes
""",
    """
import pandas as pd
df = pd.read_parquet('experiments/results/baseline_run.parquet')

# Verification rate by split
df.groupby('split')['is_verified'].mean()

# First candidate vs best candidate
first_wins = df[df.candidate_idx == 0]['is_verified'].mean()
any_wins = df.groupby('query_id')['is_verified'].max().mean()

print(f"First: {first_wins:.2%}, Best: {any_wins:.2%}")
""",
    """
import pandas as pd
baseline = pd.read_parquet('experiments/results/baseline.parquet')
improved = pd.read_parquet('experiments/results/improved.parquet')

# Join on same queries
comparison = baseline.merge(
    improved,
    on='query_id',
    suffixes=['_baseline', '_improved']
)

# Where did improvement help?
comparison['improved'] = (
    comparison['is_verified_improved'] >
    comparison['is_verified_baseline']
)
print(comparison.groupby('split_baseline')['improved'].mean())
""",
]
"""As they stood in the earlier system's documentation (but for the import of pandas, which stood above)."""


def test_the_seeds_snippets_run_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Metadata, rates by split, first against best, and the comparison of two runs on their queries."""
    monkeypatch.chdir(tmp_path)
    data = additions(tmp_path, 4)
    reader = ["dataset=gsm8k", "dataset.path=json", f"dataset.data_files={data}", "output.store=null"]

    def half(request: Request, choice: int) -> str:
        return sum_of(request, choice) if request.order % 2 else "It is \\boxed{-1}."

    for name, reply in (("baseline", half), ("improved", sum_of)):
        config = flat(tmp_path, splits="train", num_candidates=2, output=f"experiments/results/{name}.parquet")
        with FakeApi(reply=reply) as api:
            more = ["--concurrency", "1", "--notes", f"{name}!", f"model.base_url={api.url}"]
            done = generate(tmp_path, "--config", config, *more, *reader)
        assert done.returncode == 0, done.stderr
    Path("experiments/results/baseline_run.parquet").symlink_to("baseline.parquet")
    Path("results.parquet").symlink_to("experiments/results/baseline.parquet")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for snippet in SNIPPETS:
            exec(snippet, {})
    lines = printed.getvalue().splitlines()
    assert lines[:2] == ["gpt-4o-mini", "baseline!"]
    assert re.fullmatch(r"First: \d+\.\d\d%, Best: \d+\.\d\d%", lines[2])
    assert lines[4].split() == ["train", "0.5"]
    snippets = [part.partition("```")[0] for part in EARLIER.read_text(encoding="utf-8").split("```python\n")[1:]]
    better = [snippet for snippet in snippets if "improved" in snippet]
    assert len(better) == 2
    for snippet in better:
        names: dict[str, Any] = {}
        exec(snippet, names)
        lengths = {name: len(frame) for name, frame in names.items() if name in ("comparison", "pairs")}
        assert lengths in ({"comparison": 4}, {"pairs": 8})
