"""Runs are found by folder, file, glob and sweep; what is not a readable run is refused in one clear line."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sample_runs import METADATA, judged, write, write_mixed

from bon_hydra.running import at_work
from bon_hydra.runs import count_rows, find_runs, read_columns, read_metadata, read_rows
from bon_hydra.schema import ConfigError


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Two runs of one day, a sweep of two, `latest`, and what else lies about."""
    day = tmp_path / "outputs" / "2026-11-23"
    for folder in ("14-05-33_a", "15-00-00_b", "16-00-00_c_sweep/0_n=2", "16-00-00_c_sweep/1_n=4"):
        write_mixed(day / folder / "run.parquet")
        (day / folder / "run.log").touch()
    write_mixed(day / "16-00-00_c_sweep" / "sweep.parquet")
    (tmp_path / "outputs" / "latest").symlink_to(day / "15-00-00_b")
    return tmp_path / "outputs"


def names(*specs: object) -> list[str]:
    """The runs that are found, by their folders."""
    return [path.parent.name for path in find_runs([str(spec) for spec in specs])]


def test_a_run_is_its_folder_or_its_file(outputs: Path) -> None:
    """And the same run is counted once."""
    folder = outputs / "2026-11-23" / "14-05-33_a"
    assert find_runs([str(folder), str(folder / "run.parquet")]) == [folder / "run.parquet"]


def test_latest_is_the_newest_run(outputs: Path) -> None:
    """The link stands for what it links to."""
    assert find_runs([str(outputs / "latest")]) == [outputs / "latest" / "run.parquet"]
    assert names(outputs / "2026-11-23" / "15-00-00_b", outputs / "latest") == ["15-00-00_b"]


def test_a_sweep_stands_for_its_runs(outputs: Path) -> None:
    """Without the sweep's own table."""
    assert names(outputs / "2026-11-23" / "16-00-00_c_sweep") == ["0_n=2", "1_n=4"]


def test_globs_match_folders_sweeps_and_files(outputs: Path) -> None:
    """In order of their names, whatever else they match."""
    expected = ["14-05-33_a", "15-00-00_b", "0_n=2", "1_n=4"]
    assert names(outputs / "2026-11-23" / "*") == expected
    assert sorted(names(outputs / "2026-*" / "**" / "*")) == sorted(expected)
    assert names(outputs / "2026-11-23" / "1[45]*" / "*.parquet") == ["14-05-33_a", "15-00-00_b"]


def test_runs_stay_in_the_order_they_were_named(outputs: Path) -> None:
    """A comparison's left side is what was named first."""
    day = outputs / "2026-11-23"
    assert names(day / "15-00-00_b", day / "14-05-33_a") == ["15-00-00_b", "14-05-33_a"]


def test_a_folder_named_like_a_glob_is_found(tmp_path: Path) -> None:
    """What is there is taken as it is called."""
    write_mixed(tmp_path / "run[1]" / "run.parquet")
    assert names(tmp_path / "run[1]") == ["run[1]"]


def test_a_run_that_has_no_parquet_yet_says_how_to_go_on(tmp_path: Path) -> None:
    """A killed run can be resumed; one that is at work is not to be."""
    (tmp_path / "run.parquet.part").touch()
    with pytest.raises(ConfigError, match=r"ended before its parquet file was written.*bon resume"):
        find_runs([str(tmp_path)])
    with at_work(tmp_path), pytest.raises(ConfigError, match="at work"):
        find_runs([str(tmp_path)])


def test_what_is_no_run_is_said_in_one_line(outputs: Path) -> None:
    """Which of them, what was wanted."""
    (outputs / "gone").symlink_to(outputs / "nowhere")
    wrong = {
        "nix": "no such run, wanted a run folder",
        str(outputs): "no run in this folder",
        str(outputs / "2026-11-23" / "14-05-33_a" / "*.log"): "none of the 1 paths it matches is a run",
        str(outputs / "gone"): "not there any more",
    }
    for spec, message in wrong.items():
        with pytest.raises(ConfigError, match=message) as raised:
            find_runs([spec])
        assert str(raised.value).startswith(f"{spec}: ")
        assert "\n" not in str(raised.value)


def broken(path: Path, what: str) -> Path:
    """A file that is not a run this version can read."""
    whole = write_mixed(path).read_bytes()
    if what == "cut off":
        path.write_bytes(whole[: len(whole) // 2])
    elif what == "damaged":
        path.write_bytes(whole[:-1000] + bytes(992) + whole[-8:])
    elif what == "of zero bytes":
        path.write_bytes(b"")
    elif what == "text":
        path.write_text("query_id,split\n" * 10)
    elif what == "someone else's":
        pq.write_table(pa.table({"query_id": ["a"], "x": [1]}), path)
    elif what == "newer":
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata({"schema_version": "2"}), path)
    elif what == "not there":
        path.unlink()
    return path


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("cut off", "a truncated parquet file"),
        ("damaged", "a damaged parquet file"),
        ("of zero bytes", "an empty file"),
        ("text", "not a parquet file"),
        ("someone else's", "not a run: a parquet file that lacks split, candidate_idx, is_verified"),
        ("newer", r"written by a newer version \(schema_version 2\)"),
        ("not there", "no such file"),
    ],
)
def test_a_file_that_cannot_be_read_as_a_run_says_why(tmp_path: Path, what: str, message: str) -> None:
    """In one line that begins with the file."""
    path = broken(tmp_path / "run.parquet", what)
    with pytest.raises(ConfigError, match=message) as raised:
        read_metadata(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_metadata_is_read_as_texts(tmp_path: Path) -> None:
    """All of it, the writer's own two included."""
    path = write_mixed(tmp_path / "run.parquet")
    assert read_metadata(path) == METADATA | {"total_records": "9", "schema_version": "1"}
    assert count_rows(path) == 9


def test_files_of_the_seeds_system_are_read(tmp_path: Path) -> None:
    """They have its columns and metadata alone; what pandas keeps in the file is not shown."""
    path = tmp_path / "seed.parquet"
    table = pa.table(
        {"query_id": ["a"], "split": ["math"], "candidate_idx": [0], "is_verified": [True], "model": ["m"]}
    )
    pq.write_table(table.replace_schema_metadata({"model": "m", "pandas": "{}"}), path)
    assert read_metadata(path) == {"model": "m"}
    assert read_columns(path, ["query_id", "is_scored"]).to_pydict() == {"query_id": ["a"]}


def test_rows_are_read_by_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Across row groups and batches."""
    monkeypatch.setattr("bon_hydra.results.GROUP_BYTES", 1)
    monkeypatch.setattr("bon_hydra.results.BATCH_ROWS", 10)
    monkeypatch.setattr("bon_hydra.runs.FEW_ROWS", 4)
    path = write(tmp_path / "run.parquet", [judged(str(n), ["pass", "fail"]) for n in range(50)])
    assert pq.ParquetFile(path).num_row_groups == 10
    wanted = [0, 9, 10, 33, 34, 99]
    assert [row["candidate_id"] for row in read_rows(path, ["candidate_id"], wanted)] == [
        f"{place // 2}/{place % 2}" for place in wanted
    ]
