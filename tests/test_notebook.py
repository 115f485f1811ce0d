"""The package from Python: what it gives, and that it is light until asked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from app import additions, asking, environment, metadata_of, sum_of
from fake_api import FakeApi

import bon_hydra
from bon_hydra import LoadedRun, compare, load_run, pass_at_k, run_experiment
from bon_hydra.schema import ConfigError


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_experiment_runs_from_python_and_its_run_is_loaded_compared_and_summed_up(
    in_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two runs against a server; the second is right half of the time."""
    data = additions(in_folder, 6)
    with FakeApi(sum_of) as api:
        right = run_experiment(*asking(api.url, data, "num_candidates=2", "notes=first"))
    assert "candidates" in capfd.readouterr().out
    with FakeApi(lambda request, choice: sum_of(request) if choice == 0 else "No idea.") as api:
        half = run_experiment(*asking(api.url, data, "num_candidates=2", "model.choices_per_request=2"))
    assert isinstance(right, LoadedRun)
    assert (right.metadata["notes"], right.metadata["status"]) == ("first", "complete")
    assert len(right.candidates) == 12
    assert right.figures()["overall"]["verification_rate"] == 1.0
    assert list(pass_at_k(half)["estimate"]) == [0.5, 1.0]
    assert pass_at_k(half.path, split="train").index.tolist() == [1, 2]
    low, high = pass_at_k(half)["low"].to_list()[0], pass_at_k(half)["high"].to_list()[0]
    assert 0 < low < 0.5 < high < 1
    found = compare(half, right.path)
    assert (found["overall"]["difference"], found["overall"]["wins"]) == (0.5, 6)
    again = load_run(right.path.parent, columns=["query_id", "is_verified"])
    assert list(again.candidates) == ["query_id", "is_verified"]
    assert again.metadata == metadata_of(right.path)


def test_a_mistake_raises_what_the_command_would_say(in_folder: Path) -> None:
    """Nothing is made."""
    with pytest.raises(ConfigError, match="num_candidates"):
        run_experiment("num_candidates=none")
    with pytest.raises(ConfigError, match="nowhere"):
        load_run("nowhere")
    assert not (in_folder / "outputs").exists()


def test_the_package_itself_is_light() -> None:
    """Neither pandas nor Hydra comes before something is asked of it."""
    heavy = "{'pandas', 'hydra', 'numpy', 'pyarrow', 'openai', 'datasets', 'omegaconf'}"
    code = f"import sys, bon_hydra; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = bon_hydra.nothing
