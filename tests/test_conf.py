"""Everything in `conf/` composes, and what is saved of it runs again as the same configuration, in both ways."""

from __future__ import annotations

from pathlib import Path

import pytest
from app import run
from hydra import compose, initialize_config_dir
from hypothesis import given, settings
from test_config import NEEDED, OPTIONS, composed
from test_saved import configs

from bon_hydra import rerun
from bon_hydra.checks import SAMPLING_KEYS, check
from bon_hydra.options import CONF, options
from bon_hydra.saved import config_from, load_config, resolved_yaml
from bon_hydra.schema import Config

EXPERIMENTS = [f"experiment={name}" for name in options("experiment")]
GROUPS = {
    group: [[option, *NEEDED.get(option, [])] for option in OPTIONS if option.startswith(f"{group}=")]
    for group in ("dataset", "prompt", "sampling", "runner", "output")
}
OF_EACH_GROUP = [
    [given for found in GROUPS.values() for given in found[i % len(found)]]
    for i in range(max(map(len, GROUPS.values())))
]
"""Every option but the models in some command, one of each group in each."""
MODELS = [[option, *NEEDED.get(option, [])] for option in OPTIONS if option.startswith("model=")]
CHOSEN = [[EXPERIMENTS[i % len(EXPERIMENTS)], *given] for i, given in enumerate(OF_EACH_GROUP + MODELS)]
"""The same on experiments, whose own choices are replaced."""


def run_by_cd(folder: Path, *overrides: str) -> Config:
    """As `python -m bon_hydra -cd FOLDER -cn resolved …` composes it."""
    with initialize_config_dir(str(folder), version_base="1.3"):
        return check(compose("resolved", overrides=[f"hydra.searchpath=[file://{CONF}]", *overrides]))


def run_again(config: Config, *overrides: str) -> Config:
    """As `bon rerun` composes it."""
    remembered = {"config_file": "f", "base_url": "u", "keys": None, "dataset_revision": "", "sandbox_level": ""}
    rerun._store(config, remembered)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return check(compose(rerun.NAME, overrides=list(overrides)))


def both_ways(config: Config, folder: Path) -> list[Config]:
    (folder / "resolved.yaml").write_text(resolved_yaml(config), encoding="utf-8")
    return [run_by_cd(folder), run_again(load_config(folder / "resolved.yaml"))]


@pytest.mark.parametrize("given", [*CHOSEN, *([experiment] for experiment in EXPERIMENTS)], ids=" ".join)
def test_what_was_chosen_reruns_to_the_same_configuration(given: list[str], tmp_path: Path) -> None:
    """Composed, saved, read by -cd -cn and by bon rerun; and saved a second time it is the same text."""
    config = composed(*given)
    assert both_ways(config, tmp_path) == [config, config]
    assert resolved_yaml(load_config(tmp_path / "resolved.yaml")) == resolved_yaml(config)


@pytest.mark.parametrize("given", OF_EACH_GROUP + MODELS, ids=" ".join)
def test_every_option_replaces_its_whole_saved_block_and_nothing_else(given: list[str]) -> None:
    """Its maps, prices and whatever else it held are gone; what the option sets elsewhere is not taken."""
    saved = composed("dataset=math500", "model=openrouter", "model.name=a/b", "prompt=few_shot", "sampling=diverse")
    saved.model.prices.input, saved.model.identity, saved.dataset.verifier = 3.0, "somebody", {"test": "exact"}
    again, alone = run_again(saved, *given), composed("model=gpt-4o", *given)
    groups = {option.partition("=")[0] for option in given}
    for name in vars(saved):
        group = "sampling" if name in SAMPLING_KEYS else name
        assert getattr(again, name) == getattr(alone if group in groups else saved, name), name


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_on_a_saved_run_overrides_what_it_names(experiment: str) -> None:
    """Its options replace the saved blocks, its keys the saved ones; the rest stays."""
    saved = composed("dataset=gsm8k", "model=openrouter", "model.name=a/b", "prompt=cot", "runner.workers=3")
    again, alone = run_again(saved, experiment), composed(experiment)
    for name in ("dataset", "model", "experiment_name", "notes", "max_queries", "num_candidates", "temperature"):
        assert getattr(again, name) == getattr(alone, name), name
    assert (again.prompt, again.runner) == (saved.prompt, saved.runner)


def test_options_of_several_groups_at_once_are_each_taken_whole() -> None:
    """In either order."""
    saved = composed("dataset=gsm8k", "model=gpt-4o", "prompt=cot", "sampling=diverse")
    wanted = {
        "dataset": "dataset=math500",
        "model": "model=vllm",
        "prompt": "prompt=plain",
        "sampling": "sampling=greedy",
    }
    again = run_again(saved, *wanted.values())
    assert again == run_again(saved, *reversed(wanted.values()))
    for group, option in wanted.items():
        alone = run_again(saved, option)
        names = SAMPLING_KEYS if group == "sampling" else (group,)
        assert [getattr(again, name) for name in names] == [getattr(alone, name) for name in names]


@settings(max_examples=8)
@given(configs)
def test_whatever_a_configuration_holds_it_runs_again_as_it_was(config: Config) -> None:
    """Texts that look like interpolations, numbers or YAML, and maps with names of any kind."""
    saved = config_from(resolved_yaml(config), "here")
    assert run_again(saved) == config


@pytest.mark.parametrize("experiment", ["experiment=quickstart", "experiment=baseline", "experiment=best_per_dollar"])
def test_the_program_itself_composes_a_saved_experiment_to_the_same_text(experiment: str, tmp_path: Path) -> None:
    """Whole processes, as one types them."""
    (tmp_path / "resolved.yaml").write_text(resolved_yaml(composed(experiment)), encoding="utf-8")
    shown = run(tmp_path, "-cd", ".", "-cn", "resolved", "--cfg", "job", "num_candidates=3")
    direct = run(tmp_path, experiment, "--cfg", "job", "num_candidates=3")
    assert shown.returncode == 0, shown.stderr
    assert config_from(shown.stdout, "shown") == composed(experiment, "num_candidates=3")
    assert config_from(direct.stdout.replace("${output.dir}", "outputs"), "direct").num_candidates == 3
