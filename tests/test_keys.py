"""A key is in nothing that a run leaves, whatever a server does with it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from app import SECRET, additions, asking, parquets, rows_of, run
from fake_api import FakeApi, Raw, Request
from hypothesis import given
from hypothesis import strategies as st
from leaks import files_with

from bon_hydra.masking import MASK, Mask

HEADERS = {"Content-Type": "application/json", "x-request-id": f"req-for-{SECRET}", "x-echo": SECRET}


def echoed(status: int, body: bytes) -> Raw:
    return Raw(status, body, HEADERS)


def answer(text: str) -> Raw:
    """An answer with the key in every place that a run keeps."""
    call = {"function": {"name": "f", "arguments": json.dumps({"a": SECRET})}}
    message = {"content": f"{SECRET} {text} {SECRET}", "reasoning": SECRET, "tool_calls": [call]}
    body = {"id": SECRET, "model": SECRET, SECRET: SECRET, "choices": [{"message": message, "finish_reason": SECRET}]}
    return echoed(200, json.dumps(body).encode())


def test_the_key_is_in_no_file_and_on_no_screen_though_the_server_echoes_it_everywhere(tmp_path: Path) -> None:
    """In errors, headers and answers; the answers are judged all the same, with `[key]` in its place."""
    faults = [
        echoed(500, f"<html>{SECRET}</html>".encode()),
        echoed(429, json.dumps({"error": {"message": f"slow down, {SECRET}", "code": SECRET}}).encode()),
        echoed(200, f"you sent {SECRET}".encode()),
        echoed(200, json.dumps({"error": {"message": SECRET, "code": 503}}).encode()),
    ]

    def fault(request: Request) -> Raw:
        if request.order < len(faults):
            return faults[request.order]
        if "What is 1+2" in request.question:
            return echoed(400, json.dumps({"error": {"message": f"No, {SECRET}.", "param": SECRET}}).encode())
        return answer("It is \\boxed{2}.") if "What is 0+2" in request.question else answer("It is \\boxed{0}.")

    with FakeApi(faults=fault) as api:
        done = run(tmp_path, *asking(api.url, additions(tmp_path, 3), "num_candidates=2", "concurrency=1"))
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert files_with(SECRET, tmp_path) == []
    rows = rows_of(parquets(tmp_path)[0])
    assert [row["verdict"] for row in rows] == ["pass"] * 2 + ["api_error"] * 2 + ["fail"] * 2
    assert rows[0]["response"] == f"{MASK} It is \\boxed{{2}}. {MASK}"
    assert rows[0]["request_id"] == f"req-for-{MASK}"
    assert MASK in rows[2]["error"]


def test_the_key_is_not_in_what_a_stopped_run_says(tmp_path: Path) -> None:
    """The message of the stop is on the screen, in the log and in summary.json."""
    refusal = echoed(401, json.dumps({"error": {"message": f"Incorrect API key provided: {SECRET}."}}).encode())
    with FakeApi(faults=lambda _: refusal) as api:
        done = run(tmp_path, *asking(api.url, additions(tmp_path, 2), "num_candidates=1"))
    assert done.returncode == 1
    assert f"Incorrect API key provided: {MASK}." in done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert files_with(SECRET, tmp_path) == []


def test_the_search_itself_finds_a_key_in_every_kind_of_file(tmp_path: Path) -> None:
    """Else it would prove nothing."""
    (tmp_path / "run.log").write_text(f"… {SECRET} …")
    pq.write_table(pa.table({"a": ["x" * 100 + SECRET] * 100}), tmp_path / "rows.parquet", compression="zstd")
    plain = pa.table({"a": [1]}).replace_schema_metadata({"notes": SECRET})
    pq.write_table(plain, tmp_path / "metadata.parquet")
    with sqlite3.connect(tmp_path / "store.sqlite") as database:
        database.execute("CREATE TABLE responses (body BLOB)")
        database.execute("INSERT INTO responses VALUES (?)", (zstandard.compress(b"y" * 500 + SECRET.encode()),))
    database.close()
    assert {place.split(":")[0] for place in files_with(SECRET, tmp_path)} == {
        *("run.log", "rows.parquet", "metadata.parquet", "store.sqlite"),
    }


keys = st.text(st.sampled_from("abcXYZ0189-_./+=~"), min_size=7, max_size=60)


@given(keys, st.text(max_size=20), st.text(max_size=20))
def test_no_spelling_of_a_key_gets_through(key: str, before: str, after: str) -> None:
    """Plain, escaped as JSON's slashes are, and escaped as in an address; text and bytes alike."""
    mask = Mask(key)
    for spelling in (key, key.replace("/", "\\/"), quote(key, safe="")):
        text = f"{before} {spelling} {after}"
        assert key not in mask.text(text)
        assert spelling not in mask.text(text)
        assert spelling.encode() not in mask.bytes(text.encode("utf-8", "replace"))


@pytest.mark.parametrize("placeholder", [None, "", "none", "EMPTY", "ollama", "lm-studio", "sk-no-key-required"])
def test_what_stands_in_a_keys_place_is_not_cut_out_of_answers(placeholder: str | None) -> None:
    """A model may say `none`."""
    text = f"The list is none or EMPTY, says ollama {placeholder}."
    assert Mask(placeholder).text(text) == text
    assert Mask(placeholder).bytes(text.encode()) == text.encode()
