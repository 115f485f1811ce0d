"""A run from its command to its folder, against the API that the tests bring."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
from app import SECRET, additions, asking, environment, jsonl, metadata_of, parquets, rows_of, run, start, sum_of
from fake_api import FakeApi, Faults, Raw, Reply, Request

COLUMNS = """
    query_id split candidate_idx is_verified is_scored verdict verdict_reason verifier score scorer answer answer_class
    question prompt tools reference source_id source_meta response reasoning tool_calls finish_reason prompt_tokens
    completion_tokens cached_tokens reasoning_tokens cost_usd latency_s reused candidate_id seed attempts error model
    response_model temperature request_id run_id created_at
""".split()
METADATA = """
    generated_at model num_candidates temperature splits total_records config_file notes config_yaml experiment
    overrides run_id started_at dataset dataset_revision base_url identity status sandbox_level bon_hydra_version
    git_commit packages totals schema_version
""".split()


def test_a_run_leaves_a_dated_folder_with_everything_that_explains_it(tmp_path: Path) -> None:
    """resolved.yaml, one parquet, summary.json, run.log and .hydra; a table on stdout; the key nowhere."""
    with FakeApi(reply=sum_of) as api:
        notes = 'What: "quotes", a = and ${braces}; ünïcode'
        quoted = "'" + notes.replace("${", "\\${") + "'"
        done = run(
            tmp_path,
            *asking(api.url, additions(tmp_path), "num_candidates=3", f"notes={quoted}"),
        )
    assert done.returncode == 0, done.stderr
    assert "100.0 %" in done.stdout
    (parquet,) = parquets(tmp_path)
    folder = parquet.parent
    assert (tmp_path / "outputs" / "latest").resolve() == folder
    assert parquet.name == "custom_fake-model_n3_t0.7.parquet"
    assert {path.name for path in folder.iterdir()} == {
        parquet.name,
        "resolved.yaml",
        "summary.json",
        "run.log",
        ".hydra",
    }
    rows, metadata = rows_of(parquet), metadata_of(parquet)
    assert list(rows[0]) == COLUMNS
    assert set(METADATA) <= set(metadata)
    assert metadata["notes"] == notes
    assert metadata["config_yaml"] == (folder / "resolved.yaml").read_text()
    assert (metadata["status"], metadata["total_records"]) == ("complete", "18")
    assert [row["candidate_idx"] for row in rows] == [0, 1, 2] * 6
    assert all(row["is_verified"] and row["verdict"] == "pass" for row in rows)
    totals = json.loads(metadata["totals"])
    assert (totals["requests"], totals["reused"], totals["distinct"]) == (18, 0, 6)
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["status"], summary["overall"]["verification_rate"]) == ("complete", 1.0)
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in left if SECRET.encode() in path.read_bytes()]


def test_a_rerun_asks_for_nothing_that_is_in_the_store(tmp_path: Path) -> None:
    """The same draws under a smaller N, then a larger one: only what is new is requested."""
    with FakeApi(reply=sum_of) as api:
        arguments = asking(api.url, additions(tmp_path))
        assert run(tmp_path, *arguments, "num_candidates=2").returncode == 0
        assert api.choices == 12
        folder = parquets(tmp_path)[0].parent
        smaller = run(tmp_path, "-cd", str(folder), "-cn", "resolved", "num_candidates=1")
        assert (smaller.returncode, api.choices) == (0, 12), smaller.stderr
        larger = run(tmp_path, "-cd", str(folder), "-cn", "resolved", "num_candidates=3")
        assert (larger.returncode, api.choices) == (0, 18), larger.stderr
    first, second, third = parquets(tmp_path)
    assert all(row["reused"] for row in rows_of(second))
    assert [row["reused"] for row in rows_of(third)] == [True, True, False] * 6
    assert {row["candidate_id"] for row in rows_of(first)} < {row["candidate_id"] for row in rows_of(third)}
    assert len({row["candidate_id"] for row in rows_of(third)}) == 18


def test_a_saved_run_reruns_as_a_sweep_with_flags_and_overrides_in_any_order(tmp_path: Path) -> None:
    """`-cd RUN -cn resolved num_candidates=2 -m temperature=0.2,0.9` stays typed and makes a sweep's folder."""
    with FakeApi(reply=sum_of) as api:
        assert run(tmp_path, *asking(api.url, additions(tmp_path, 2)), "num_candidates=1").returncode == 0
        folder = parquets(tmp_path)[0].parent
        saved = ["-cd", str(folder), "-cn", "resolved"]
        done = run(tmp_path, *saved, "num_candidates=2", "-m", "temperature=0.2,0.9")
        assert done.returncode == 0, done.stderr
        wrong = run(tmp_path, *saved, "num_candidates=two")
        assert (wrong.returncode, "num_candidates" in wrong.stderr) == (2, True)
        grouped = run(tmp_path, *saved, "model=gpt-4o")
        assert (grouped.returncode, "bon rerun" in grouped.stderr) == (2, True)
        temperatures = [request.body["temperature"] for request in api.requests]
    assert sorted(temperatures) == [0.2] * 4 + [0.7] * 2 + [0.9] * 4
    _, cold, warm = (path for path in parquets(tmp_path) if path.name != "sweep.parquet")
    assert cold.parent.parent == warm.parent.parent
    assert cold.parent.parent.name.endswith("_custom_sweep")
    assert [path.parent.name for path in (cold, warm)] == ["0_temperature=0.2", "1_temperature=0.9"]


def test_a_sweep_over_n_and_temperature_asks_for_each_candidate_once(tmp_path: Path) -> None:
    """A smaller N is a prefix of a larger one."""
    with FakeApi(reply=sum_of) as api:
        arguments = asking(api.url, additions(tmp_path, 3), "num_candidates=1,2,4", "temperature=0.3,1.0")
        done = run(tmp_path, "-m", *arguments)
        assert done.returncode == 0, done.stderr
        assert api.choices == 3 * 4 * 2
    assert len([path for path in parquets(tmp_path) if path.name != "sweep.parquet"]) == 6


def test_faults_cost_no_candidate_and_are_never_a_wrong_answer(tmp_path: Path) -> None:
    """429, 500, dropped connections, malformed, truncated and empty bodies are asked again until they are answers."""
    faults = Faults(
        rate_limited=0.04,
        server_error=0.04,
        dropped=0.03,
        dropped_mid_body=0.02,
        malformed_json=0.03,
        truncated_body=0.02,
        empty_choices=0.02,
        slow_body=0.02,
        seed=5,
    )
    with FakeApi(reply=sum_of, faults=faults, retry_after=0.1) as api:
        done = run(tmp_path, *asking(api.url, additions(tmp_path, 50), "concurrency=20"))
        assert done.returncode == 0, done.stderr
        assert set(api.prompts.values()) == {4}
    (parquet,) = parquets(tmp_path)
    assert {row["verdict"] for row in rows_of(parquet)} == {"pass"}
    assert json.loads(metadata_of(parquet)["totals"])["failed_attempts"] > 0
    assert "attempt 1 failed" in (parquet.parent / "run.log").read_text()


def test_a_request_that_is_refused_for_itself_counts_as_done_and_apart(tmp_path: Path) -> None:
    """A 400 that concerns one query leaves api_error rows, status complete, exit 0, and the rates alone."""

    def fault(request: object) -> str | None:
        return "bad_request" if "What is 1+2" in request.question else None  # type: ignore[attr-defined]

    with FakeApi(reply=sum_of, faults=fault) as api:
        done = run(tmp_path, *asking(api.url, additions(tmp_path, 3), "num_candidates=2"))
        assert done.returncode == 0, done.stderr
        assert len(api.requests) == 6
    (parquet,) = parquets(tmp_path)
    rows = rows_of(parquet)
    assert [row["verdict"] for row in rows] == ["pass"] * 2 + ["api_error"] * 2 + ["pass"] * 2
    assert not any(row["is_scored"] for row in rows[2:4])
    assert "maximum context length" in rows[2]["error"]
    assert metadata_of(parquet)["status"] == "complete"


def test_a_candidate_missing_after_all_retries_makes_the_run_partial(tmp_path: Path) -> None:
    """Exit 3, api_error rows, the last error on screen; the same again, the server well, asks for these alone."""
    ill = [True]

    def fault(request: object) -> str | None:
        return "server_error" if ill[0] and "What is 1+2" in request.question else None  # type: ignore[attr-defined]

    with FakeApi(reply=sum_of, faults=fault) as api:
        arguments = asking(api.url, additions(tmp_path, 3), "num_candidates=2", "model.max_retries=1")
        done = run(tmp_path, *arguments)
        assert done.returncode == 3, done.stderr
        assert metadata_of(parquets(tmp_path)[0])["status"] == "partial"
        assert "partial: 2 candidates were given up after all retries (each stands in run.log). The last: HTTP 500" in (
            done.stderr
        )
        ill[0], before = False, api.choices
        assert run(tmp_path, *arguments).returncode == 0
        assert api.choices == before + 2


@pytest.mark.parametrize("fault", ["unauthorized", "not_found", "quota_exhausted"])
def test_a_server_that_refuses_every_request_stops_the_run_at_once(tmp_path: Path, fault: str) -> None:
    """One message and exit 1 instead of an error for every candidate; the key is not in it."""
    with FakeApi(faults=lambda _: fault) as api:
        done = run(tmp_path, *asking(api.url, additions(tmp_path, 50), "concurrency=5"))
        assert done.returncode == 1, done.stderr
        assert len(api.requests) <= 10
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stderr + done.stdout
    assert metadata_of(parquets(tmp_path)[0])["status"] == "failed"


def test_ctrl_c_writes_what_there_is_and_says_how_to_go_on(tmp_path: Path) -> None:
    """Exit 130, status interrupted, rows only of what arrived; the second run asks for the rest alone."""
    with FakeApi(reply=sum_of, latency=0.1) as api:
        arguments = asking(api.url, additions(tmp_path, 20), "concurrency=4")
        process = start(tmp_path, *arguments)
        while api.choices < 12:
            assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 130, told
        bought = api.choices
        (parquet,) = parquets(tmp_path)
        assert metadata_of(parquet)["status"] == "interrupted"
        assert len(rows_of(parquet)) == bought < 80
        assert f"bon resume outputs/{parquet.parent.parent.name}/{parquet.parent.name}" in told
        assert run(tmp_path, *arguments).returncode == 0
        assert api.choices == 80


def test_a_budget_is_never_overshot_and_nearly_used(tmp_path: Path) -> None:
    """Status budget_reached, exit 3, and every bought candidate in the file."""
    with FakeApi(reply=sum_of, latency=0.01) as api:
        more = ["max_tokens=20", "model.prices={input: 2.0, output: 10.0}", "budget_usd=0.02", "concurrency=10"]
        done = run(tmp_path, *asking(api.url, additions(tmp_path, 100), *more))
        assert done.returncode == 3, done.stderr
    (parquet,) = parquets(tmp_path)
    rows = rows_of(parquet)
    assert metadata_of(parquet)["status"] == "budget_reached"
    assert len(rows) == api.choices
    assert 0.8 * 0.02 < sum(row["cost_usd"] for row in rows) <= 0.02


def test_a_run_that_ends_early_has_a_head_of_its_data_set_however_far_that_was_read(tmp_path: Path) -> None:
    """Sixty rows are read at once, and a budget for some of them leaves no whole; raised, it does."""
    with FakeApi(reply=sum_of, latency=0.01) as api:
        more = ["max_tokens=20", "model.prices={input: 2.0, output: 10.0}", "num_candidates=2", "concurrency=4"]
        done = run(tmp_path, *asking(api.url, additions(tmp_path, 60), *more, "budget_usd=0.004"))
        assert done.returncode == 3, done.stderr
        assert "Queries: train head." in done.stdout
        (parquet,) = parquets(tmp_path)
        raised = run(tmp_path, "resume", str(parquet.parent), "budget_usd=1", module="bon_hydra.cli")
    assert raised.returncode == 0, raised.stderr
    assert "Queries: train whole." in raised.stdout


def test_a_dry_run_prints_the_plan_and_leaves_nothing(tmp_path: Path) -> None:
    """Calls are queries x splits x N; what is in the store is not counted again; no folder, no request."""
    with FakeApi(reply=sum_of) as api:
        arguments = asking(api.url, additions(tmp_path, 5), "num_candidates=2")
        plan = run(tmp_path, *arguments, "dry_run=true")
        assert (plan.returncode, len(api.requests)) == (0, 0), plan.stderr
        assert "= 10 candidates; 0 are in the store, 10 to ask for" in plan.stdout
        assert not (tmp_path / "outputs").exists()
        assert run(tmp_path, *arguments).returncode == 0
        again = run(tmp_path, *arguments, "num_candidates=3", "dry_run=true")
    assert "= 15 candidates; 10 are in the store, 5 to ask for" in again.stdout


def test_a_run_whose_answers_are_all_stored_needs_no_server(tmp_path: Path) -> None:
    """An unreachable server is then a warning, not an error."""
    with FakeApi(reply=sum_of) as api:
        arguments = asking(api.url, additions(tmp_path, 3))
        assert run(tmp_path, *arguments).returncode == 0
    done = run(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    assert "does not answer" in done.stderr
    more = run(tmp_path, *arguments, "num_candidates=5")
    assert (more.returncode, "model.base_url" in more.stderr) == (2, True)


def test_a_private_store_goes_when_the_run_is_complete(tmp_path: Path) -> None:
    """output.store=null keeps answers in the run's own folder, and only until they are all in the file."""
    with FakeApi(reply=sum_of) as api:
        assert run(tmp_path, *asking(api.url, additions(tmp_path, 2), "output.store=null")).returncode == 0
    assert not list(tmp_path.rglob("store.sqlite*"))


def test_a_file_of_ones_own_choice_is_linked_from_the_run_folder(tmp_path: Path) -> None:
    """output.file as a path; another run's file there is refused before anything is asked."""
    with FakeApi(reply=sum_of) as api:
        arguments = asking(api.url, additions(tmp_path, 2), "output.file=results/mine.parquet")
        assert run(tmp_path, *arguments).returncode == 0
        assert len(rows_of(tmp_path / "results" / "mine.parquet")) == 8
        links = [path for path in (tmp_path / "outputs").rglob("mine.parquet") if path.is_symlink()]
        assert len(links) == 1
        asked = len(api.requests)
        refused = run(tmp_path, *arguments, "temperature=0.1")
    assert (refused.returncode, "output.file" in refused.stderr, len(api.requests)) == (2, True, asked)


def test_math_focused_runs_on_any_server_and_a_local_copy_of_nemotron(tmp_path: Path) -> None:
    """The experiment, another model and a local data set in Nemotron's layout, by three overrides."""
    demo = Path(__file__).parent.parent / "bon_hydra" / "queries" / "demo"
    with FakeApi(reply="\\boxed{12}", models=["served"]) as api:
        done = run(
            tmp_path,
            "experiment=math_focused",
            "model=openai-compatible",
            f"model.base_url={api.url}",
            f"dataset.path={demo}",
            "max_queries=4",
        )
        assert done.returncode == 0, done.stderr
        assert {request.body["model"] for request in api.requests} == {"served"}
        assert "Put your final answer within \\boxed{}" in api.requests[0].question
    metadata = metadata_of(parquets(tmp_path)[0])
    assert (metadata["experiment"], metadata["num_candidates"], metadata["splits"]) == ("math_focused", "10", "math")
    assert metadata["config_file"].endswith("conf/experiment/math_focused.yaml")
    assert metadata["notes"].startswith("What:")


def test_tools_go_out_and_tool_calls_come_back_judged(tmp_path: Path) -> None:
    """The demo's tool-calling split: definitions are sent as `tools`, calls are kept and compared."""
    call = Reply(tool_calls=(("no_such_tool", "{}"),))
    with FakeApi(reply=call) as api:
        base = ["model=openai-compatible", f"model.base_url={api.url}"]
        done = run(tmp_path, *base, "splits=tool_calling", "max_queries=3", "num_candidates=1")
        assert done.returncode == 0, done.stderr
        assert all(request.body["tools"][0]["type"] == "function" for request in api.requests)
    rows = rows_of(parquets(tmp_path)[0])
    assert {row["verdict"] for row in rows} == {"fail"}
    assert json.loads(rows[0]["tool_calls"])[0]["function"]["name"] == "no_such_tool"
    assert json.loads(rows[0]["tools"]) == api.requests[0].body["tools"]


def test_seeds_follow_from_query_and_index_and_no_two_are_equal(tmp_path: Path) -> None:
    """Candidate i is sent the query's hash plus i; with send_seed=false nothing is sent, and draws still differ."""
    with FakeApi(reply=sum_of) as api:
        arguments = asking(api.url, additions(tmp_path, 3), "num_candidates=3", "seed=7")
        assert run(tmp_path, *arguments).returncode == 0
        rows = rows_of(parquets(tmp_path)[0])
        firsts = [row["seed"] for row in rows[::3]]
        assert [row["seed"] for row in rows] == [first + i for first in firsts for i in range(3)]
        assert len(set(firsts)) == 3
        assert sorted(request.body["seed"] for request in api.requests) == sorted(row["seed"] for row in rows)
        assert run(tmp_path, *arguments, "model.send_seed=false", "seed=8").returncode == 0
        assert all("seed" not in request.body for request in api.requests[9:])
        assert len(api.requests) == 18


def test_a_reasoning_models_refusals_are_understood(tmp_path: Path) -> None:
    """max_tokens is renamed for good after the first refusal; a refused temperature stops the run and names its key."""
    with FakeApi(reply=Reply("\\boxed{3}", reasoning="Let me think."), reasoning_model=True) as api:
        arguments = asking(api.url, additions(tmp_path, 4), "num_candidates=1", "concurrency=1")
        done = run(tmp_path, *arguments, "temperature=null")
        assert done.returncode == 0, done.stderr
        assert [("max_tokens" in r.body, "max_completion_tokens" in r.body) for r in api.requests] == [
            (True, False),
            *[(False, True)] * 4,
        ]
        assert all(row["reasoning"] == "Let me think." for row in rows_of(parquets(tmp_path)[0]))
        stopped = run(tmp_path, *arguments, "temperature=0.5", "model.max_tokens_field=max_completion_tokens")
    assert stopped.returncode == 1
    assert "temperature=null" in stopped.stderr


def test_what_was_cut_off_is_judged_by_an_explicit_answer_only(tmp_path: Path) -> None:
    """finish_reason length is an answer, never asked again; without a final answer in it there is nothing to judge."""
    with FakeApi(reply="first 2 then 2 then 2 then more") as api:
        assert (
            run(tmp_path, *asking(api.url, additions(tmp_path, 1), "num_candidates=1", "max_tokens=4")).returncode == 0
        )
        assert len(api.requests) == 1
    (row,) = rows_of(parquets(tmp_path)[0])
    assert (row["finish_reason"], row["verdict"]) == ("length", "no_answer")


def test_rows_come_in_the_data_sets_order_however_answers_arrive(tmp_path: Path) -> None:
    """Latencies are drawn, so answers overtake each other; the file does not show it."""
    with FakeApi(reply=sum_of, latency=(0.0, 0.2)) as api:
        done = run(tmp_path, *asking(api.url, additions(tmp_path, 40), "num_candidates=2", "concurrency=16"))
        assert done.returncode == 0, done.stderr
    rows = rows_of(parquets(tmp_path)[0])
    assert [row["question"] for row in rows[::2]] == [f"What is {i}+2?" for i in range(40)]


def test_concurrency_bounds_the_requests_in_flight(tmp_path: Path) -> None:
    """Never more than asked for, and that many where there is work."""
    with FakeApi(reply=sum_of, latency=0.05) as api:
        assert run(tmp_path, *asking(api.url, additions(tmp_path, 20), "concurrency=7")).returncode == 0
        assert api.max_in_flight == 7


def test_usage_that_the_server_leaves_out_is_unknown_and_not_zero(tmp_path: Path) -> None:
    """Tokens and cost are null."""
    with FakeApi(reply=sum_of, usage=False) as api:
        more = ["num_candidates=1", "model.prices={input: 1, output: 1}"]
        assert run(tmp_path, *asking(api.url, additions(tmp_path, 1), *more)).returncode == 0
    (row,) = rows_of(parquets(tmp_path)[0])
    assert (row["prompt_tokens"], row["completion_tokens"], row["cost_usd"]) == (None, None, None)


def test_rows_that_cannot_be_read_are_skipped_named_and_counted(tmp_path: Path) -> None:
    """The run goes on; duplicates and disagreeing references are counted too."""
    rows = [
        {"question": "What is 1+2?", "answer": "#### 3"},
        {"question": "What is 1+2?", "answer": "#### 4"},
        {"question": "What is 2+2?", "answer": "no mark"},
        {"question": "What is 3+2?", "answer": "#### 5"},
    ]
    with FakeApi(reply=sum_of) as api:
        done = run(tmp_path, *asking(api.url, jsonl(tmp_path / "rows.jsonl", rows), "num_candidates=1"))
        assert done.returncode == 0, done.stderr
    (parquet,) = parquets(tmp_path)
    totals = json.loads(metadata_of(parquet)["totals"])
    figures = [totals[name] for name in ("rows_read", "distinct", "duplicates", "disagreeing")]
    assert figures[:1] + figures[2:] == [4, 1, 1]
    assert totals["distinct"] + totals["skipped"] == 3


def test_a_second_run_in_the_same_second_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    """However they start: here all at once."""
    with FakeApi(reply=sum_of) as api:
        arguments = asking(api.url, additions(tmp_path, 1), "num_candidates=1")
        processes = [start(tmp_path, *arguments) for _ in range(3)]
        for process in processes:
            told = process.communicate(timeout=120)
            assert process.returncode == 0, told
        assert {len(rows_of(path)) for path in parquets(tmp_path)} == {1}
    assert len({path.parent for path in parquets(tmp_path)}) == 3


def test_nothing_runs_on_after_the_parent_was_killed(tmp_path: Path) -> None:
    """SIGKILL leaves no verification worker behind, and the store whole."""
    import subprocess

    with FakeApi(reply=sum_of, latency=0.05) as api:
        arguments = asking(api.url, additions(tmp_path, 20), "concurrency=4", "runner.workers=2")
        process = start(tmp_path, *arguments)
        while api.choices < 12:
            assert process.poll() is None, process.communicate()
        process.kill()
        process.communicate()
        bought = api.choices
        alive = subprocess.run(
            ["pgrep", "-s", str(process.pid)], capture_output=True, text=True, env=environment(), check=False
        )
        for pid in alive.stdout.split():
            subprocess.run(["tail", f"--pid={pid}", "-f", "/dev/null"], timeout=30, check=True)
        assert run(tmp_path, *arguments).returncode == 0
        assert api.choices <= 80 + 4
        assert bought < 80


def test_a_template_that_does_not_fit_a_later_row_stops_the_run_with_what_there_is(tmp_path: Path) -> None:
    """One message that names the template and the columns; no traceback, nothing lost."""
    rows = [
        {"question": "What is 1+2?", "answer": "#### 3", "hint": "add"},
        {"question": "What is 2+2?", "answer": "#### 4"},
    ]
    with FakeApi(reply=sum_of) as api:
        template = "prompt.template='{{ question }} {{ hint }}'"
        done = run(tmp_path, *asking(api.url, jsonl(tmp_path / "rows.jsonl", rows), "concurrency=1", template))
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "'hint' is undefined" in done.stderr
    assert metadata_of(parquets(tmp_path)[0])["status"] == "failed"


def test_a_refusal_is_no_answer_and_never_judged_as_one(tmp_path: Path) -> None:
    """The refusal's text is kept, whatever it says."""
    message = {"role": "assistant", "content": None, "refusal": "I will not say \\boxed{2}."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = json.dumps({"id": "x", "object": "chat.completion", "model": "fake-model", "choices": [choice]}).encode()
    with FakeApi(faults=lambda _: Raw(200, body)) as api:
        assert run(tmp_path, *asking(api.url, additions(tmp_path, 1), "num_candidates=1")).returncode == 0
    (row,) = rows_of(parquets(tmp_path)[0])
    assert (row["verdict"], row["response"]) == ("no_answer", "I will not say \\boxed{2}.")
    assert row["verdict_reason"].startswith("refused")


def test_names_of_tools_that_the_server_refuses_are_mapped_and_the_calls_still_judged(tmp_path: Path) -> None:
    """After the first refusal for good; the store's key does not know of it."""
    tool = {"type": "function", "function": {"name": "math.add", "parameters": {"type": "object", "properties": {}}}}
    row = {"prompt": "Add.", "tools": [tool], "tool_calls": [{"name": "math.add", "arguments": {}}]}
    message = "Invalid 'tools[0].function.name': string does not match pattern '^[a-zA-Z0-9_-]+$'."
    refusal = Raw(400, json.dumps({"error": {"message": message, "type": "invalid_request_error"}}).encode())

    def fault(request: Request) -> Raw | None:
        return refusal if "." in request.body["tools"][0]["function"]["name"] else None

    with FakeApi(reply=Reply(tool_calls=(("math_add", "{}"),)), faults=fault) as api:
        arguments = asking(api.url, jsonl(tmp_path / "rows.jsonl", [row]), "dataset=tool_calls", "num_candidates=3")
        done = run(tmp_path, *arguments, "concurrency=1")
        assert done.returncode == 0, done.stderr
        assert [request.answered for request in api.requests] == [False, True, True, True]
    assert [row["verdict"] for row in rows_of(parquets(tmp_path)[0])] == ["pass"] * 3


def test_a_plan_knows_that_a_prompt_is_paid_once_for_candidates_that_share_a_request(tmp_path: Path) -> None:
    """Learned from requests for four candidates each, it says what one candidate each takes, and no less."""
    with FakeApi(reply=sum_of) as api:
        arguments = asking(api.url, additions(tmp_path, 12))
        assert run(tmp_path, *arguments, "num_candidates=4", "model.choices_per_request=4").returncode == 0
        plan = run(tmp_path, *arguments, "num_candidates=1", "temperature=0.9", "dry_run=true").stdout
        assert run(tmp_path, *arguments, "num_candidates=1", "temperature=0.9").returncode == 0
    found = re.search(r"tokens +([\d,]+) to ([\d,]+) prompt", plan)
    assert found, plan
    low, high = (int(end.replace(",", "")) for end in found.groups())
    new = next(rows for rows in map(rows_of, parquets(tmp_path)) if rows[0]["temperature"] == 0.9)
    assert 0.8 * high < low <= sum(row["prompt_tokens"] for row in new) <= high
