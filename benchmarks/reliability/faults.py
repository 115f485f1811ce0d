"""A server that fails one request in six costs time only.  python benchmarks/reliability/faults.py [--short]

10,000 candidates are drawn from a server without faults, and from two that refuse 10 % of all requests (one says by
Retry-After when to come again, in seconds or as a date), fail at 3 %, drop 2 %, answer 1 % with what is no answer, and
never answer 0.5 %. The time that those hang is set aside: each keeps a slot for `model.timeout_s`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

import app
from fake_api import FakeApi, Faults
from soak import Figure, Process, differing, none_of, tell

TIMES = 3.0
OTHERS = {
    "server_error": 0.03,
    "dropped": 0.01,
    "dropped_mid_body": 0.01,
    "malformed_json": 0.004,
    "truncated_body": 0.003,
    "empty_choices": 0.003,
    "hanging": 0.005,
}
NONE = Faults()
WITH = Faults(rate_limited=0.05, rate_limited_date=0.05, seed=1, **OTHERS)
WITHOUT = Faults(rate_limited_bare=0.1, seed=2, **OTHERS)


@dataclass(frozen=True)
class Size:
    """How much is asked of each server, and how."""

    queries: int
    candidates: int
    concurrency: int
    latency_s: float
    timeout_s: float


FULL = Size(2500, 4, 20, 0.2, 10.0)
SHORT = Size(150, 4, 12, 0.03, 3.0)


@dataclass(frozen=True)
class Drawn:
    """What became of one run."""

    code: int
    file: Path
    seconds: float
    faults: Counter[str]
    answers: Counter[int]
    """Good answers by seed, which tells the candidates apart."""
    hung_s: float
    """How much longer the run took for the requests that hung: all of their slots' time, spread over all slots."""


def draw(size: Size, faults: Faults, folder: Path) -> Drawn:
    """One run in a new folder, from a server of its own."""
    folder.mkdir()
    rows = [{"question": f"What is {i}+2?", "answer": f"#### {i + 2}"} for i in range(size.queries)]
    data = app.jsonl(folder / "questions.jsonl", rows)
    with FakeApi(reply=app.sum_of, faults=faults, latency=size.latency_s) as api:
        more = [
            "seed=11",
            "model.identity=soak",  # each server has a port of its own, and keys are to be equal
            f"num_candidates={size.candidates}",
            "model.choices_per_request=1",
            f"max_queries={size.queries}",
            f"concurrency={size.concurrency}",
            f"model.timeout_s={size.timeout_s}",
        ]
        said = folder / "said.txt"
        code = Process(folder, said, *app.asking(api.url, data, *more)).wait()
        if code not in (0, 3):
            raise SystemExit(said.read_text())
        requests = api.requests
    (file,) = app.parquets(folder)
    failed = Counter(request.fault for request in requests if request.fault)
    return Drawn(
        code,
        file,
        json.loads(app.metadata_of(file)["totals"])["seconds"],
        failed,
        Counter(request.body["seed"] for request in requests if request.answered),
        failed["hanging"] * size.timeout_s / size.concurrency,
    )


def figures_of(name: str, drawn: Drawn, undisturbed: list[Drawn], size: Size, timed: bool) -> list[Figure]:
    """What a run with faults holds, beside those without."""
    table = pq.read_table(drawn.file, columns=["query_id", "candidate_idx", "verdict"]).to_pydict()
    places = Counter(zip(table["query_id"], table["candidate_idx"], strict=True))
    failed, asked = drawn.faults.total(), drawn.faults.total() + drawn.answers.total()
    base = sum(one.seconds for one in undisturbed) / len(undisturbed)
    ratio = (drawn.seconds - drawn.hung_s) / base
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in drawn.faults.most_common())
    return [
        Figure(
            f"{name}: requests that failed", "about 1 in 6", f"{failed:,} of {asked:,}: {kinds}", failed > asked / 9
        ),
        Figure(
            f"{name}: candidates there",
            f"{size.queries * size.candidates:,}",
            f"{len(places):,}, exit code {drawn.code}",
            len(places) == size.queries * size.candidates and drawn.code == 0,
        ),
        none_of(f"{name}: candidates double", [place for place, count in places.items() if count > 1]),
        none_of(f"{name}: answered candidates asked for again", [s for s, count in drawn.answers.items() if count > 1]),
        none_of(f"{name}: `api_error`", [verdict for verdict in table["verdict"] if verdict == "api_error"]),
        none_of(f"{name}: columns unlike the undisturbed run's", differing(undisturbed[0].file, drawn.file)),
        Figure(
            f"{name}: time over that without faults",
            f"<= {TIMES:g}" if timed else "(the full form's)",
            f"{ratio:.2f} ({drawn.seconds:.0f} s, of which hung {drawn.hung_s:.0f} s, over {base:.0f} s)",
            ratio <= TIMES or not timed,
        ),
    ]


def main(short: bool) -> int:
    size = SHORT if short else FULL
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        undisturbed = [draw(size, NONE, folder / "none")]
        told = draw(size, WITH, folder / "told")
        untold = draw(size, WITHOUT, folder / "untold")
        if not short:  # on a machine that others use too, before and after say more than before
            undisturbed.append(draw(size, NONE, folder / "again"))
        figures = figures_of("429 with Retry-After", told, undisturbed, size, not short)
        figures += figures_of("429 without", untold, undisturbed, size, not short)
        return tell(f"{size.queries * size.candidates:,} candidates, {size.concurrency} at once", figures)


if __name__ == "__main__":
    sys.exit(main("--short" in sys.argv))
