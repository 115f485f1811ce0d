"""What the README's first command does, in small, on the real model: SmolLM2 behind llama.cpp's server."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from app import metadata_of, parquets, rows_of, run


@pytest.mark.timeout(1200)  # one to three minutes on two cores
def test_the_demo_finds_right_answers_and_more_of_them_in_four(tmp_path: Path) -> None:
    """Math pass@1 lies between 0.1 and 0.7 and pass@4 above; a rerun starts no server and asks nothing.

    All of the quickstart's math, and one query of its other splits; answers that ramble are cut off.
    """
    maths = run(tmp_path, "dataset.splits=[math]", "max_tokens=64", OPENAI_API_KEY="")
    assert maths.returncode == 0, maths.stderr
    summary = json.loads((parquets(tmp_path)[0].parent / "summary.json").read_text())
    pass_at = summary["splits"]["math"]["pass_at_k"]
    assert 0.1 <= pass_at["1"]["estimate"] <= 0.7
    assert pass_at["4"]["estimate"] >= pass_at["1"]["estimate"] + 0.01  # which queries are found is chance
    done = run(tmp_path, "max_queries=1", "max_tokens=64", OPENAI_API_KEY="")
    assert done.returncode == 0, done.stderr
    parquet = parquets(tmp_path)[1]
    assert parquet.name == "quickstart_SmolLM2-135M-Instruct_n4_t0.7.parquet"
    rows, metadata = rows_of(parquet), metadata_of(parquet)
    assert {row["split"] for row in rows} == set(metadata["splits"].split(","))
    assert metadata["identity"].startswith("sha256:b179c952")
    assert all(row["cost_usd"] == 0.0 and row["completion_tokens"] > 0 for row in rows)
    assert not [row for row in rows if row["verdict"] in ("api_error", "verifier_error")]
    assert {row["split"] for row in rows if not row["reused"]} == {"code", "tool_calling"}
    again = run(tmp_path, "max_queries=1", "max_tokens=64", OPENAI_API_KEY="", PATH="/nowhere")
    assert again.returncode == 0, again.stderr
    assert "starting" not in again.stderr
    same = pq.read_table(parquets(tmp_path)[2], columns=["candidate_id", "response", "verdict"])
    assert same == pq.read_table(parquet, columns=["candidate_id", "response", "verdict"])
