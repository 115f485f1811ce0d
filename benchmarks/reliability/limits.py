"""What a server allows a minute is used.  python benchmarks/reliability/limits.py [--short|--real]

The server allows 600 requests and 100,000 tokens a minute, and half of both after five of ten minutes: as a bucket that
is a minute, ten seconds or one second deep, or in windows of a minute; with `x-ratelimit-*` headers or without, with
`Retry-After` or without; asked by 10, 50 or 200 at once, so that requests or tokens run out first. Other servers have
no limit and refuse 2 %, 5 % or 10 % at random. The clock jumps, so minutes take a moment; limits, pace and retries are
the program's. Of each kind the worst is told. `--real`: the whole program over HTTP and three real minutes, twice.

Of a bucket, used is what was let through of what came in from 30 s after the start, and after the change, on. A window
is open for all at once, so it is reckoned in whole minutes; the change is at the end of one.
"""

from __future__ import annotations

import itertools
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

import app
from fake_api import FakeApi
from limited_server import HALVED_AT, Outcome, Scenario, halving, simulate
from rate_limit import RateLimit
from soak import Figure, Process, tell

MINUTES_10 = 600.0
ASKERS = {10: (0.2, 0.6), 50: (0.5, 2.0), 200: (1.0, 3.0)}
"""So many at once, and how long an answer takes, in seconds."""
DEPTHS = {60.0: "a bucket of a minute", 10.0: "a bucket of 10 s", 1.0: "a bucket of 1 s", None: "windows of a minute"}
SIZES: dict[tuple[float, float], str] = {
    (100, 0.0): "requests run out",
    (300, 0.0): "tokens run out",
    (300, 0.5): "tokens run out, answers of all lengths",
}
"""Tokens of a request: median and spread."""
WANTED = {True: (0.9, 0.01), False: (0.8, 0.05)}
"""Used at least and refused at most, with headers and without."""
CHANCE, NOT_SLOWED = (0.02, 0.05, 0.1), 0.9
SEEDS = 1
REAL_S, REAL_HALVED_AT = 180.0, 90.0


@dataclass(frozen=True)
class Use:
    """Shares of what was allowed, and of requests refused in all; the worst of several where there are several."""

    before: float
    after: float
    soon: float
    """From half a minute after the change on, for a minute."""
    refused: float

    def told(self) -> str:
        used = f"{self.before:.0%}, {self.after:.0%} after the change, {self.soon:.0%} soon after"
        return f"{used}; {self.refused:.1%} refused"


def use_of(server: RateLimit, change: float, end: float, windows: bool = False) -> Use:
    """What a server saw that halved its limits at `change`."""
    if windows:
        spans = ((0, change), (change, end), (change, change + 120))
    else:
        spans = ((30, change), (change + 30, end), (change + 30, min(end, change + 90)))
    before, after, soon = (server.used(*span) for span in spans)
    return Use(before, after, soon, server.refused(0, end))


def worst(uses: Sequence[Use]) -> Use:
    """The least used and the most refused."""
    return Use(
        min(u.before for u in uses), min(u.after for u in uses), min(u.soon for u in uses), max(u.refused for u in uses)
    )


def figure_of(name: str, use: Use, headers: bool, bound: bool = True) -> Figure:
    used, refused = WANTED[headers]
    met = min(use.before, use.after, use.soon) >= used and use.refused <= refused
    wanted = f">= {used:.0%}, <= {refused:.0%}" if bound else "(told only)"
    return Figure(name, wanted, use.told(), met or not bound)


def limited(scenarios: Iterable[Scenario], headers: bool) -> list[Figure]:
    """A line for each kind of server."""
    kinds: dict[tuple[float | None, tuple[float, float]], list[Use]] = {}
    for scenario in scenarios:
        use = use_of(simulate(scenario).server, HALVED_AT, MINUTES_10, scenario.depth_s is None)
        kinds.setdefault((scenario.depth_s, scenario.tokens), []).append(use)
    return [
        figure_of(
            f"{'with headers' if headers else 'without'}: {DEPTHS[depth]}, {SIZES[size]} ({len(uses)})",
            worst(uses),
            headers,
            # After the change such a bucket holds two or three of these requests: no pace uses 80 % of it undisturbed.
            bound=depth != 1.0 or size[1] == 0,
        )
        for (depth, size), uses in kinds.items()
    ]


def grid(seeds: int, headers: bool) -> list[Scenario]:
    """All kinds of servers and askers."""
    return [
        Scenario(
            halving,
            concurrency=at_once,
            latency_s=latency_s,
            tokens=size,
            depth_s=depth,
            headers=headers,
            retry_after=retry_after,
            seed=seed,
        )
        for depth, size, (at_once, latency_s), retry_after, seed in itertools.product(
            DEPTHS, SIZES, ASKERS.items(), (True,) if headers else (True, False), range(seeds)
        )
    ]


def few(headers: bool) -> list[Scenario]:
    """Of each kind of server one, as far as moments go."""
    kinds = [(60.0, (100, 0.0)), (10.0, (300, 0.0)), (1.0, (100, 0.0)), (None, (300, 0.0))]
    return [
        Scenario(halving, latency_s=ASKERS[50], tokens=size, depth_s=depth, headers=headers) for depth, size in kinds
    ]


def by_chance(share: float, seeds: int, seconds: float, askers: Sequence[int]) -> Figure:
    """How much slower a server is asked that refuses such a share, all that is refused aside."""

    def run(at_once: int, random_429: float, retry_after: bool, seed: int) -> Outcome:
        return simulate(
            Scenario(
                (1e9, 1e12),
                seconds=seconds,
                concurrency=at_once,
                latency_s=ASKERS[at_once],
                headers=False,
                random_429=random_429,
                retry_after=retry_after,
                seed=seed,
            )
        )

    paces = []
    for at_once in askers:
        undisturbed = run(at_once, 0.0, True, 0).answered
        for retry_after, seed in itertools.product((True, False), range(seeds)):
            paces.append(run(at_once, share, retry_after, seed).answered / (1 - share) / undisturbed)
    return Figure(
        f"no limit, {share:.0%} refused at random ({len(paces)})",
        f">= {NOT_SLOWED:.0%} of the pace",
        f"{min(paces):.0%} to {max(paces):.0%}",
        min(paces) >= NOT_SLOWED,
    )


def real(headers: bool) -> Figure:
    """`python -m bon_hydra` against a server over HTTP, interrupted after three minutes."""
    limit = RateLimit(
        lambda second: (600, 100_000) if second < REAL_HALVED_AT else (300, 50_000),
        depth_s=60.0 if headers else 10.0,
        headers=headers,
    )
    with tempfile.TemporaryDirectory() as name, FakeApi(app.sum_of, limit=limit, latency=(0.5, 2.0)) as api:
        folder = Path(name)
        rows = [{"question": f"What is {i}+2?", "answer": f"#### {i + 2}"} for i in range(3000)]
        data = app.jsonl(folder / "questions.jsonl", rows)
        more = ("num_candidates=1", "max_queries=3000", "concurrency=50", "max_tokens=200")
        process = Process(folder, folder / "said.txt", *app.asking(api.url, data, *more))
        while not limit.by_second and not process.ended():
            time.sleep(0.01)
        time.sleep(REAL_S)
        process.signal(signal.SIGINT)
        code = process.wait()
        lost = [one for one in api.requests if not one.answered and one.fault != "over_limit"]
        if code != 130:
            raise SystemExit(process.told())
    use = use_of(limit, REAL_HALVED_AT, REAL_S)
    figure = figure_of(f"the program in real time, {'with headers' if headers else 'without'}", use, headers)
    found = f"{figure.found}; {len(api.requests):,} requests"
    return Figure(figure.name, figure.wanted, found, figure.met and not lost)


def main(arguments: Sequence[str]) -> int:
    started = time.monotonic()
    if "--real" in arguments:
        figures = [real(headers) for headers in (True, False)]
    elif "--short" in arguments:
        figures = limited(few(True), True) + limited(few(False), False) + [by_chance(0.1, 1, 200, [10])]
    else:
        figures = limited(grid(1, True), True) + limited(grid(SEEDS, False), False)
        figures += [by_chance(share, 2, 200, [10]) for share in CHANCE]
    return tell(f"600 requests and 100,000 tokens a minute, halved; {time.monotonic() - started:.0f} s", figures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
