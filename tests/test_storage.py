"""Shared storage behind a URL: a real S3 server gets whole runs, and gives data sets and runs back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from app import additions, asking, metadata_of, parquets, rows_of, run, sum_of
from bon_command import bon
from fake_api import FakeApi, Request

from bon_hydra.publishing import publish, put_file
from bon_hydra.runs import find_runs
from bon_hydra.schema import ConfigError

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def bucket() -> Iterator[dict[str, str]]:
    """Surroundings in which s3://bon is on a server of this machine."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    around = KEYS | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    with pytest.MonkeyPatch.context() as patched:
        for name, value in around.items():
            patched.setenv(name, value)
        fsspec.filesystem("s3").mkdir("bon")
        yield around
    server.stop()


def test_a_run_reads_from_a_bucket_and_is_published_there(
    tmp_path: Path, bucket: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Shards of a data set in the bucket, joined into a file there; store and log stay on the local disk."""
    fsspec.filesystem("s3").put_file(str(additions(tmp_path, 5)), "bon/data/additions.jsonl")
    with FakeApi(reply=sum_of) as api:
        for part in (1, 2):
            more = [f"dataset.shard={part}/2", "num_candidates=2", "output.dir=s3://bon/runs"]
            done = run(
                tmp_path, *asking(api.url, Path("s3"), *more, "dataset.data_files=s3://bon/data/*.jsonl"), **bucket
            )
            assert done.returncode == 0, done.stderr
            assert "published at s3://bon/runs/20" in done.stdout
    assert (tmp_path / "outputs" / "store.sqlite").exists()
    here = parquets(tmp_path)
    there = find_runs(["s3://bon/runs/*/*"])
    assert [rows_of(path) for path in there] == [rows_of(path) for path in here]
    assert {Path(name).name for name in fsspec.filesystem("s3").glob(f"bon/runs/*/{here[0].parent.name}/**")} >= {
        here[0].name,
        "resolved.yaml",
        "summary.json",
        "run.log",
    }
    code, said, _ = bon(capsys, "merge", "s3://bon/runs/*/*", "-o", "s3://bon/all.parquet")
    assert (code, said) == (0, "s3://bon/all.parquet: 2 shards, 5 queries, 10 candidates\n")
    (joined,) = find_runs(["s3://bon/all.parquet"])
    assert metadata_of(joined)["total_records"] == "10"
    with pytest.raises(ConfigError, match="is there already"):
        put_file(joined, "s3://bon/all.parquet")


def test_two_runs_of_one_name_never_share_a_published_folder(tmp_path: Path, bucket: dict[str, str]) -> None:
    """Whoever is first has it; a run that is put there again replaces its own."""
    assert bucket
    folder = tmp_path / "outputs" / "2026-11-23" / "14-05-33_name"
    folder.mkdir(parents=True)
    (folder / "mine.parquet").write_bytes(b"whole")
    (folder / "mine.parquet.part").write_bytes(b"half")
    assert publish(folder, "a", "s3://bon/shared") == "s3://bon/shared/2026-11-23/14-05-33_name"
    assert publish(folder, "b", "s3://bon/shared") == "s3://bon/shared/2026-11-23/14-05-33_name-1"
    assert publish(folder, "a", "s3://bon/shared") == "s3://bon/shared/2026-11-23/14-05-33_name"
    assert publish(folder, "a", f"file://{tmp_path}/mounted").endswith("/mounted/2026-11-23/14-05-33_name")
    names = [name.rpartition("/")[2] for name in fsspec.filesystem("s3").find("bon/shared")]
    assert names == ["mine.parquet", "run_id"] * 2
    mounted = [path.name for path in (tmp_path / "mounted").rglob("*") if path.is_file()]
    assert sorted(mounted) == ["mine.parquet", "run_id"]


def test_storage_that_cannot_be_written_is_refused_before_anything_is_asked(
    tmp_path: Path, bucket: dict[str, str]
) -> None:
    """A bucket that is not there, a store on it, a scheme nobody knows."""
    with FakeApi() as api:
        for setting, wanted in {
            "output.dir=s3://nobodys/runs": "output.dir: s3://nobodys/runs cannot be written",
            "output.dir=nix://x": "output.dir: nix://x cannot be written",
            "output.store=s3://bon/store.sqlite": "output.store: got s3://bon/store.sqlite, wanted a path",
        }.items():
            arguments = asking(api.url, additions(tmp_path), "output.dir=s3://bon/runs", setting)
            done = run(tmp_path, *arguments, **bucket)
            assert (done.returncode, done.stdout) == (2, ""), done.stderr
            assert wanted in done.stderr
        assert api.requests == []
    assert not (tmp_path / "outputs").exists()


def test_what_could_not_be_put_there_is_kept_and_resume_puts_it_there(tmp_path: Path, bucket: dict[str, str]) -> None:
    """The bucket goes in mid-run, and comes back; no answer is paid for again."""
    files = fsspec.filesystem("s3")
    files.mkdir("fleeting")

    def removing(request: Request, _: int) -> str:
        if request.order == 0:
            files.rmdir("fleeting")
        return sum_of(request)

    with FakeApi(reply=removing) as api:
        arguments = asking(api.url, additions(tmp_path, 2), "num_candidates=1", "output.dir=s3://fleeting/runs")
        done = run(tmp_path, *arguments, **bucket)
        assert done.returncode == 1, done.stderr
        assert "cannot be put to s3://fleeting/runs" in done.stderr
        files.mkdir("fleeting")
        resumed = run(tmp_path, "resume", "outputs/latest", module="bon_hydra.cli", **bucket)
        assert (resumed.returncode, len(api.requests)) == (0, 2), resumed.stderr
    files.invalidate_cache()
    (there,) = find_runs(["s3://fleeting/runs/*/*"])
    assert rows_of(there) == rows_of(parquets(tmp_path)[0])
