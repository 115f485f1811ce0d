"""`bon verify`: the stored answers judged again, from the file alone."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from app import additions, asking, metadata_of, parquets, rows_of, run, sum_of
from bon_command import apart as bon
from fake_api import FakeApi


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of five queries, two candidates each: the first right, the second wrong."""
    folder = tmp_path_factory.mktemp("run")
    with FakeApi(reply=lambda request, _: sum_of(request) if request.order % 2 == 0 else "\\boxed{0}") as api:
        done = run(folder, *asking(api.url, additions(folder, 5), "num_candidates=2", "concurrency=1"))
    assert done.returncode == 0, done.stderr
    return parquets(folder)[0]


def misjudged(finished: Path, folder: Path) -> Path:
    """The run's folder as a stricter verifier would have left it: nothing passes."""
    table = pq.read_table(finished)
    metadata = table.schema.metadata
    for name, value in {"verdict": "fail", "verdict_reason": "too strict", "is_verified": False}.items():
        at = table.schema.get_field_index(name)
        column = pa.array([value] * len(table), table.schema.field(name).type)
        table = table.set_column(at, table.schema.field(name), column)
    path = folder / finished.name
    pq.write_table(table.replace_schema_metadata(metadata), path)
    (folder / "summary.json").write_text((finished.parent / "summary.json").read_text())
    return path


def test_a_run_judged_by_the_same_verifiers_does_not_change(finished: Path, tmp_path: Path) -> None:
    """And nothing is written."""
    before = finished.stat()
    told = bon(tmp_path, "verify", str(finished.parent))
    assert told.returncode == 0, told.stderr
    assert "0 of 10 verdicts change" in told.stdout
    assert finished.stat().st_mtime_ns == before.st_mtime_ns


def test_what_changes_is_shown_with_its_reason_and_written_only_on_request(finished: Path, tmp_path: Path) -> None:
    """fail -> pass, five times, with examples; the rate before and after."""
    path = misjudged(finished, tmp_path)
    told = bon(tmp_path, "verify", str(path))
    assert "5 of 10 verdicts change" in told.stdout
    assert "fail -> pass" in told.stdout
    assert "too strict -> boxed" in told.stdout
    assert "Verified: 0.0 % before, 50.0 % now." in told.stdout
    assert {row["verdict"] for row in rows_of(path)} == {"fail"}


def test_what_another_verifier_would_say_is_shown_and_never_written(finished: Path, tmp_path: Path) -> None:
    """`choice` looks for letters, and all answers here are numbers."""
    before = finished.read_bytes()
    told = bon(tmp_path, "verify", str(finished), "--verifier", "choice")
    assert "10 of 10 verdicts are others by choice" in told.stdout, told.stderr
    assert "pass -> unverifiable" in told.stdout
    assert "Verified: 50.0 % before, – by choice." in told.stdout
    for wrong in (["choice", "--write"], ["choise"]):
        refused = bon(tmp_path, "verify", str(finished), "--verifier", *wrong)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert finished.read_bytes() == before


def test_write_replaces_the_file_and_keeps_the_old_one(finished: Path, tmp_path: Path) -> None:
    """Everything but the judgement stays as it was; a second time keeps the second old file too."""
    path = misjudged(finished, tmp_path)
    old = path.read_bytes()
    assert bon(tmp_path, "verify", str(path), "--write").returncode == 0
    new, original = pq.read_table(path), pq.read_table(finished)
    assert new.schema.remove_metadata() == original.schema.remove_metadata()
    for name in new.column_names:
        assert new[name].to_pylist() == original[name].to_pylist(), name
    assert (tmp_path / f"{path.name}.before-verify").read_bytes() == old
    metadata = metadata_of(path)
    assert json.loads(metadata["totals"])["verification_rate"] == 0.5
    assert metadata["config_yaml"] == metadata_of(finished)["config_yaml"]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["status"], summary["overall"]["verification_rate"]) == ("complete", 0.5)
    assert bon(tmp_path, "verify", str(path), "--write").returncode == 0
    assert (tmp_path / f"{path.name}.before-verify-1").exists()
    found = bon(tmp_path, "inspect", str(tmp_path), "--json")
    assert len(json.loads(found.stdout)["runs"]) == 1


def test_a_file_without_answers_cannot_be_judged_again(tmp_path: Path) -> None:
    """One line, exit code 2: the earlier system's files hold verdicts only."""
    columns = {"query_id": ["a"], "split": ["math"], "candidate_idx": [0], "is_verified": [True]}
    path = tmp_path / "earlier.parquet"
    pq.write_table(pa.table(columns), path)
    told = bon(tmp_path, "verify", str(path))
    assert (told.returncode, "cannot be judged again" in told.stderr) == (2, True)
