"""Configuration: every option composes, precedence is as promised, and each mistake costs nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
from app import additions, asking, environment, run
from fake_api import FakeApi
from hydra import compose, initialize_config_dir
from hydra.errors import MissingConfigException

from bon_hydra.__main__ import flags_first
from bon_hydra.checks import check
from bon_hydra.mistakes import explain
from bon_hydra.names import experiment_name
from bon_hydra.options import CONF
from bon_hydra.schema import Config, ConfigError

OPTIONS = sorted(
    f"{path.parent.name}={path.stem}" for path in CONF.glob("*/*.yaml") if path.parent.name not in ("hydra",)
)
NEEDED = {
    "dataset=columns": ["dataset.path=json"],
    "dataset=tool_calls": ["dataset.path=json"],
    "model=openai": ["model.name=gpt-4.1"],
    "model=openrouter": ["model.name=a/b"],
    "model=anthropic": ["model.name=claude"],
    "model=gemini": ["model.name=gemini"],
    "model=openai-compatible": ["model.base_url=http://localhost:8000/v1"],
}
"""What an option leaves to its user."""


def composed(*overrides: str) -> Config:
    return deepcopy(_composed_once(overrides))


@cache
def _composed_once(overrides: tuple[str, ...]) -> Config:
    """Hydra takes a third of a second for it."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return check(compose("config", overrides=list(overrides)))


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_says_what_it_is_for(option: str) -> None:
    """In its first line or two, with the command that uses it. That all compose is in `test_conf`."""
    group, _, name = option.partition("=")
    lines = (CONF / group / f"{name}.yaml").read_text().splitlines()
    told = [line for line in lines[:2] if "python -m bon_hydra" in line]
    assert told
    assert told[0].startswith("# ")


def test_the_roots_own_defaults_are_quickstarts() -> None:
    """A run without arguments and the experiment of that name ask the same."""
    plain, named = composed(), composed("experiment=quickstart")
    assert named.experiment_name == "quickstart"
    assert (plain.dataset.path, plain.model.name, plain.max_queries, plain.num_candidates) == (
        "demo",
        "SmolLM2-135M-Instruct",
        8,
        4,
    )
    named.experiment_name, named.notes = plain.experiment_name, plain.notes
    assert named == plain


@pytest.mark.parametrize(
    ("name", "splits", "max_queries", "n", "model", "concurrency", "budget"),
    [
        ("baseline", ["math", "code", "tool_calling"], 100, 4, "gpt-4o-mini", 10, 12),
        ("math_focused", ["math"], 1000, 10, "gpt-4o", 10, 100),
        ("high_throughput", ["math", "code"], 10_000, 4, "gpt-4o-mini", 50, 800),
    ],
)
def test_the_seeds_experiments_have_its_figures(
    name: str, splits: list[str], max_queries: int, n: int, model: str, concurrency: int, budget: float
) -> None:
    """Queries a split, splits, N, model, concurrency and the seed's cost estimate; notes in its spirit."""
    config = composed(f"experiment={name}")
    figures = (config.splits, config.max_queries, config.num_candidates, config.model.name, config.concurrency)
    assert figures == (splits, max_queries, n, model, concurrency)
    assert config.budget_usd == budget
    assert all(word in config.notes for word in ("What:", "Why:", "Hypothesis:", "Expected outcome:"))


def test_the_command_line_beats_the_experiment_beats_the_group_beats_the_root() -> None:
    """In whatever order they are typed."""
    assert composed("dataset=gsm8k").max_queries == 100  # the root's
    assert composed("dataset=demo").max_queries == 8  # the group's
    assert composed("experiment=baseline", "dataset=demo").max_queries == 100  # the experiment's
    assert composed("max_queries=5", "experiment=baseline").max_queries == 5  # the command line's
    assert composed("sampling=greedy", "num_candidates=3").num_candidates == 3
    assert composed("model=gpt-4o", "experiment=baseline").model.name == "gpt-4o"


def test_greedy_and_reasoning_sampling() -> None:
    """Greedy is one candidate at temperature 0; reasoning models are sent no temperature."""
    greedy, reasoning = composed("sampling=greedy"), composed("sampling=reasoning")
    assert (greedy.num_candidates, greedy.temperature) == (1, 0.0)
    assert reasoning.temperature is None


def test_splits_may_be_a_list_or_comma_joined() -> None:
    """`splits=math` and the seed's `math,code` too."""
    assert composed("splits=math").splits == ["math"]
    assert composed("splits='math,code'").splits == ["math", "code"]
    assert composed("splits=[math,code]").splits == ["math", "code"]


def test_flags_may_stand_between_overrides() -> None:
    """Hydra's own parser refuses that."""
    typed = ["-cd", "RUN", "n=2", "-m", "t=1,2", "--config-name", "resolved", "x=1"]
    assert flags_first(typed) == ["-cd", "RUN", "-m", "--config-name", "resolved", "n=2", "t=1,2", "x=1"]


@pytest.mark.parametrize(
    ("overrides", "config_name", "has_experiment", "expected"),
    [
        ([], "config", False, "quickstart"),
        (["num_candidates=2", "notes=x"], "config", False, "quickstart"),
        (["model.timeout_s=3"], "config", False, "custom"),
        (["dataset=gsm8k"], "config", False, "custom"),
        (["+model.extra_body.top_k=1"], "config", False, "custom"),
        (["num_candidates=2"], "my_run", False, "my_run"),
        (["experiment=mine"], "config", True, "custom"),
    ],
)
def test_a_run_without_a_name_gets_one(
    overrides: list[str], config_name: str, has_experiment: bool, expected: str
) -> None:
    """After -cn, else quickstart where nothing but figures was changed, else custom."""
    assert experiment_name(Config(), overrides, config_name, has_experiment) == expected


RANGES = {
    "num_candidates=0": ["num_candidates", r"\b0\b", r"\b1\b"],
    "temperature=9": ["temperature", r"\b9\b", r"\b2\b"],
    "temperature=-0.1": ["temperature"],
    "top_p=0": ["top_p"],
    "max_tokens=-5": ["max_tokens", "-5"],
    "max_queries=0": ["max_queries"],
    "concurrency=0": ["concurrency", r"\b0\b", r"\b1\b"],
    "budget_usd=-1": ["budget_usd"],
    "seed=-1": ["seed"],
    "splits=[]": ["splits"],
    "splits=[math,math]": ["splits", "once"],
    "dataset.format=nope": ["dataset.format", "nope", "nemotron"],
    "dataset.shuffle_seed=-1": ["shuffle_seed"],
    "model.base_url=not-a-url": ["model.base_url", "not-a-url", "http://"],
    "model.base_url=http://host:port/v1": ["model.base_url"],
    "model.base_url=ftp://host/v1": ["model.base_url"],
    "model.requests_per_minute=0": ["requests_per_minute"],
    "model.tokens_per_minute=0": ["tokens_per_minute"],
    "model.timeout_s=-1": ["timeout_s"],
    "model.max_retries=-1": ["max_retries"],
    "model.choices_per_request=0": ["choices_per_request"],
    "model.max_tokens_field=tokens": ["max_tokens_field", "max_completion_tokens"],
    "+model.extra_body.temperature=1": [r"extra_body\.temperature", "set temperature itself"],
    "model.extra_body=5": ["extra_body"],
    "runner.workers=0": ["workers"],
    "runner.name=moon": ["runner.name", "local"],
    "runner.sandbox.level=none": ["level", "landlock"],
    "+foo=1": ["foo"],
    "+model.nam=x": [r"model\.nam\b", r"model\.name"],
    "+num_candidatess=8": ["num_candidatess", r"num_candidates\b"],
}


@pytest.mark.parametrize("override", RANGES)
def test_a_value_out_of_range_is_refused_by_name(override: str) -> None:
    """The message names the key, what it got and what it wants."""
    with pytest.raises(ConfigError) as refused:
        composed("dataset=gsm8k", "model=openai-compatible", "model.base_url=http://h/v1", override)
    for word in RANGES[override]:
        assert re.search(word, str(refused.value)), str(refused.value)


def test_a_budget_without_a_bound_on_answers_is_refused() -> None:
    """max_tokens=null lets one answer cost anything."""
    with pytest.raises(ConfigError, match=r"budget_usd.*max_tokens"):
        composed("budget_usd=5", "max_tokens=null")


def test_no_message_shows_a_secret() -> None:
    """Credentials in an address, or a key where its variable's name belongs."""
    for override in ("model.base_url=http://me:hunter2@host/v1", "model.api_key_env=sk-hunter2"):
        with pytest.raises(ConfigError) as refused:
            composed(override)
        assert "hunter2" not in str(refused.value)


MISTAKES = {
    ("num_candidatess=8",): ["num_candidatess", r"num_candidates\b"],
    ("modl=gpt-4o",): ["modl", "did you mean model"],
    ("temperature=hot",): ["temperature", "hot", "a number"],
    ("num_candidates=2.5",): ["num_candidates", r"2\.5", "whole number"],
    ("experiment=nope",): ["nope", "math_focused"],
    ("experiment=math_focussed",): ["did you mean math_focused"],
    ("model=gpt-4.1",): [r"model=openai model\.name=gpt-4\.1"],
    ("dataset=gsm9k",): ["did you mean gsm8k"],
    ("dataset.splits=[trian]",): ["trian", "did you mean train"],
    ("dataset.data_files=absent.jsonl",): ["absent.jsonl", r"dataset\.data_files"],
    ("dataset.verifier=maths",): [r"dataset\.verifier", "did you mean math"],
    ("model.base_url=http://127.0.0.1:9/v1",): [r"127\.0\.0\.1:9", r"model\.base_url"],
    ("model.base_url=http://u:p@127.0.0.1:9/v1",): ["credentials"],
    ("model.api_key_env=NOT_SET_ANYWHERE",): ["NOT_SET_ANYWHERE"],
    ("budget_usd=1",): ["budget_usd", "prices"],
    ("prompt.template={{nope}}",): ["prompt.template"],
    ("prompt.template='{{ nope }}'",): [r"prompt\.template", "nope", "question"],
    ("prompt.system.math=x",): [r"\+prompt\.system\.math"],
    ("notes=What: x, y=1",): ["quotes"],
    ("-m", "num_candidates=1,0"): ["num_candidates"],
    ("-m", "temperature=0.1,hot"): ["temperature", "hot"],
    ("-cn", "nothere"): ["nothere"],
    ("--num_candidates", "8"): [r"num_candidates=…"],
    ("--max-queries=8",): [r"max_queries=…"],
    ("num_candidates", "=", "8"): ["without spaces around the ="],
    ("experiment=mine.yaml",): ["--config-dir FOLDER"],
    ("--config-dir", "nodir"): ["nodir"],
    ("--config-dir", "{mine}", "experiment=headless"): ["# @package _global_"],
    ("--config-dir", "{mine}", "experiment=colon"): [r"colon\.yaml, line 2", "quotes"],
    ("output.dir=/proc/nix",): [r"output\.dir"],
    ("model.base_url=http://127.0.0.1:9/v1", "model.name=null"): [r"127\.0\.0\.1:9", "Is the server running"],
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=" ".join)
def test_a_mistake_ends_with_one_message_and_costs_nothing(tmp_path: Path, mistake: tuple[str, ...]) -> None:
    """Exit 2, no traceback, no folder, no completion requested."""
    mine = tmp_path / "mine" / "experiment"
    mine.mkdir(parents=True)
    (mine / "headless.yaml").write_text("num_candidates: 3\n")
    (mine / "colon.yaml").write_text("# @package _global_\nnotes: What: this\n")
    with FakeApi() as api:
        arguments = [argument.format(mine=mine.parent) if "{mine}" in argument else argument for argument in mistake]
        done = run(tmp_path, *asking(api.url, additions(tmp_path, 2)), *arguments)
        assert (done.returncode, api.requests) == (2, []), done.stderr
    told = done.stdout + done.stderr
    assert "Traceback" not in told
    assert len([line for line in done.stderr.splitlines() if line.strip()]) == 1, done.stderr
    assert not (tmp_path / "outputs").exists()
    for word in MISTAKES[mistake]:
        assert re.search(word, told), told


def test_a_missing_key_is_named_before_anything_else_happens(tmp_path: Path) -> None:
    """The variable's name, and nothing left behind."""
    done = run(tmp_path, "model=gpt-4o", OPENAI_API_KEY="")
    assert (done.returncode, "OPENAI_API_KEY" in done.stderr) == (2, True)
    assert not (tmp_path / "outputs").exists()


def test_a_dry_run_needs_no_key(tmp_path: Path) -> None:
    """It is what one runs before buying one."""
    demo = Path(__file__).parent.parent / "bon_hydra" / "queries" / "demo"
    done = run(tmp_path, "experiment=math_focused", f"dataset.path={demo}", "dry_run=true", OPENAI_API_KEY="")
    assert done.returncode == 0, done.stderr
    assert "; at most " in done.stdout


def test_ones_own_yaml_outside_the_repository_works_by_config_dir_and_by_cn(tmp_path: Path) -> None:
    """An experiment in a folder of one's own, and a primary configuration that builds on the packaged one."""
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    body = "num_candidates: 3\nnotes: |\n  What: mine\n"
    header = "# @package _global_\ndefaults:\n  - override /sampling: diverse\nexperiment_name: my_experiment\n"
    (tmp_path / "mine" / "experiment" / "my_experiment.yaml").write_text(header + body)
    (tmp_path / "mine" / "my_run.yaml").write_text(
        "defaults:\n  - config\n  - override sampling: diverse\n  - _self_\n" + body
    )
    with FakeApi(reply="\\boxed{2}") as api:
        arguments = asking(api.url, additions(tmp_path, 1))
        for how in (["--config-dir", "mine", "experiment=my_experiment"], ["-cd", "mine", "-cn", "my_run"]):
            done = run(tmp_path, *arguments, *how)
            assert done.returncode == 0, done.stderr
        assert [request.body["top_p"] for request in api.requests] == [0.95] * 3
    names = sorted(path.name for path in (tmp_path / "outputs").rglob("*.parquet") if not path.is_symlink())
    assert names == ["my_experiment_fake-model_n3_t1.parquet", "my_run_fake-model_n3_t1.parquet"]


def test_a_primary_file_that_takes_nothing_of_conf_hydra_runs_in_hydras_own_folder(tmp_path: Path) -> None:
    """Without this program's callback: prepared when it begins."""
    groups = "dataset: gsm8k, model: openai-compatible, prompt: default, output: default, runner: local"
    listed = "".join(f"  - {group}\n" for group in ["base_config", *groups.split(", "), "_self_"])
    (tmp_path / "bare.yaml").write_text(f"defaults:\n{listed}")
    searched = f"hydra.searchpath=[file://{CONF}]"
    with FakeApi(reply="\\boxed{2}") as api:
        done = run(tmp_path, "-cd", ".", "-cn", "bare", searched, *asking(api.url, additions(tmp_path, 1)))
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "outputs").glob("*/*/*.parquet"))) == 1


def test_the_resolved_configuration_that_is_shown_holds_no_secret(tmp_path: Path) -> None:
    """--cfg job --resolve names the variable only."""
    shown = run(tmp_path, "model=gpt-4o", "--cfg", "job", "--resolve", OPENAI_API_KEY="sk-hunter2")
    assert shown.returncode == 0
    assert "OPENAI_API_KEY" in shown.stdout
    assert "hunter2" not in shown.stdout


@pytest.mark.parametrize("flags", [["--help"], ["--cfg", "job"], ["-sc", "query=bash"]])
def test_answers_without_a_run_import_nothing_heavy(tmp_path: Path, flags: list[str]) -> None:
    """openai, datasets, pandas and pyarrow cost a second each run would have to pay."""
    code = (
        "import sys, runpy; sys.argv[1:] = " + repr(flags) + "\n"
        "try: runpy.run_module('bon_hydra', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'openai', 'datasets', 'pandas', 'pyarrow', 'numpy', 'scipy', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    env = environment(COMP_LINE="bon-hydra dataset=")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_help_shows_examples_then_groups_then_the_configuration(tmp_path: Path) -> None:
    """In this order, each option named."""
    shown = run(tmp_path, "--help").stdout
    places = [shown.index(part) for part in ("== Examples", "== Groups", "experiment: base", "== Configuration")]
    assert places == sorted(places)


def test_bon_hydra_is_the_same_program(tmp_path: Path) -> None:
    """The console script beside python -m."""
    script = Path(sys.executable).parent / "bon-hydra"
    command = [str(script), "temperature=9"]
    done = subprocess.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert (done.returncode, "temperature" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("option", "extra"),
    [
        ("hydra/launcher=joblib", "joblib"),
        ("hydra/launcher=submitit_local", "submitit"),
        ("hydra/launcher=submitit_slurm", "submitit"),
        ("hydra/sweeper=optuna", "optuna"),
    ],
)
def test_an_option_of_a_plugin_that_is_missing_names_the_extra_to_install(option: str, extra: str) -> None:
    """Hydra itself knows no such option then."""
    group, _, name = option.partition("=")
    said = f"Could not find '{group}/{name}'\n\nAvailable options in '{group}':\n\tbasic\nConfig search path:"
    error = MissingConfigException(said, missing_cfg_file=f"{group}/{name}")
    assert explain(error) == f"{option}: needs an extra that is not installed: pip install 'bon_hydra[{extra}]'"
