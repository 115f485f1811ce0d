"""How often intervals hold the truth and tests cry wolf, simulated.  python benchmarks/statistics/coverage.py [--short]

Queries have chances of their own, drawn from beta distributions: from candidates that all but repeat each other to
independent ones. Binary rates need no simulation: their coverage is computed for every rate on a fine grid.

Wanted: 93 to 97 % for true rates from 0.1 to 0.9, never below 93 % outside, nor of splits together; the point of a
sweep that is truly the best is left out of those marked as good in at most 5 %; a true null hypothesis is rejected at
0.05 in at most 6 % of comparisons, and in at least 4 % with 4 candidates or more and 100 queries or more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from bon_hydra.statistics import Sums, average, binary_rate, compare, pass_at_k, pass_hat_k, standings, wilson

Floats = NDArray[np.float64]

INSIDE = (0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9)
OUTSIDE = (0.005, 0.01, 0.03, 0.05, 0.95, 0.97, 0.99, 0.995)
ALIKE = {"nearly all alike": 0.2, "alike": 1.0, "somewhat alike": 5.0, "independent": 1e6}
"""a + b of the beta distribution of a query's chance: the correlation of two candidates is 1 / (1 + a + b)."""


@dataclass(frozen=True)
class Figure:
    """A rate that is simulated."""

    name: str
    candidates: int
    k: int
    of_query: Callable[[NDArray[np.int64], NDArray[np.int64], int], Floats]

    def truth(self, chance: float, alike: float) -> float:
        """Its true value where a query's chance is beta distributed with this mean."""
        if alike >= 1e6:
            right = (1 - chance) ** self.k if self.of_query is pass_at_k else chance**self.k
        else:
            mean = 1 - chance if self.of_query is pass_at_k else chance
            right = float(np.prod([(mean * alike + j) / (alike + j) for j in range(self.k)]))
        return 1 - right if self.of_query is pass_at_k else right

    def chance(self, truth: float, alike: float) -> float:
        """The mean chance of one candidate that makes it this true value."""
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self.truth(middle, alike) < truth else (low, middle)
        return (low + high) / 2


FIGURES = (
    Figure("verification rate, N=4", 4, 1, pass_at_k),
    Figure("verification rate, N=16", 16, 1, pass_at_k),
    Figure("pass@4 of 4", 4, 4, pass_at_k),
    Figure("pass@8 of 16", 16, 8, pass_at_k),
    Figure("pass^2 of 4", 4, 2, pass_hat_k),
)


def chances(draw: np.random.Generator, mean: float, alike: float, queries: int) -> Floats:
    """A chance for each query."""
    if alike >= 1e6:
        return np.full(queries, mean)
    return draw.beta(mean * alike, (1 - mean) * alike, queries)


def coverage(figure: Figure, truth: float, alike: float, queries: int, times: int, seed: int = 0) -> float:
    """The share of `times` samples whose interval holds the true value."""
    draw = np.random.default_rng(seed)
    chance = figure.chance(truth, alike)
    scored = np.full(queries, figure.candidates)
    held = 0
    for _ in range(times):
        verified = draw.binomial(figure.candidates, chances(draw, chance, alike, queries))
        values = figure.of_query(scored, verified, figure.k)[:, figure.k - 1]
        low, high = average([Sums.of(values)], float(scored.sum())).ci95 or (1.0, 0.0)
        held += low - 1e-12 <= truth <= high + 1e-12
    return held / times


SPLITS = ((0.02, 0.98), (0.02, 0.9), (0.005, 0.5), (0.1, 0.9), (0.02, 0.02), (0.98, 0.98, 0.02))
"""True rates of the splits of a run."""


def overall_coverage(
    rates: tuple[float, ...], alike: float, queries: int, candidates: int, times: int, seed: int = 0
) -> float:
    """The share of samples whose overall verification rate, of splits with `queries` each, holds the true one."""
    draw = np.random.default_rng(seed)
    truth = float(np.mean(rates))
    weights = np.full(queries, float(candidates))
    held = 0
    for _ in range(times):
        shares = [draw.binomial(candidates, chances(draw, rate, alike, queries)) / candidates for rate in rates]
        parts = [Sums.of(values, weights) for values in shares]
        low, high = average(parts, len(rates) * queries * candidates).ci95 or (1.0, 0.0)
        held += low - 1e-12 <= truth <= high + 1e-12
    return held / times


def bootstrap_coverage(truth: float, queries: int, times: int, seed: int = 0) -> float:
    """The same of a percentile bootstrap of a binary rate, which `statistics` does without."""
    draw = np.random.default_rng(seed)
    seen = draw.binomial(queries, truth, times)
    means = draw.binomial(queries, (seen / queries)[:, None], (times, 1000)) / queries
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    return float(np.mean((low <= truth) & (truth <= high)))


def binary_coverage(interval: Callable[[int, int], tuple[float, float]], queries: int, rates: Floats) -> Floats:
    """The exact coverage of an interval of a binary rate, at each of the true rates."""
    ends = np.array([interval(right, queries) for right in range(queries + 1)])
    held = (ends[:, :1] - 1e-12 <= rates) & (rates <= ends[:, 1:] + 1e-12)
    return np.asarray((binom.pmf(np.arange(queries + 1)[:, None], queries, rates) * held).sum(axis=0))


def ours(right: int, queries: int) -> tuple[float, float]:
    """The interval of a binary rate."""
    return binary_rate(right, queries).ci95 or (0.0, 1.0)


@dataclass(frozen=True)
class Rejections:
    """Shares of comparisons with p at most 0.05, and of intervals that hold the true difference."""

    mid_p: float
    plain: float
    interval: float


def rejections(
    mean: float, alike: float, queries: int, candidates: int, k: int, times: int, better: float = 0.0, seed: int = 0
) -> Rejections:
    """Two runs on the same queries; with `better` > 0 the second solves so much of what the first does not."""
    draw = np.random.default_rng(seed)
    scored = np.full(queries, candidates)
    mid = plain = held = 0
    many = chances(draw, mean, alike, 400_000)
    truth = float(np.mean((1 - many) ** k - (1 - many - better * (1 - many)) ** k))
    for _ in range(times):
        first = chances(draw, mean, alike, queries)
        a, b = (
            pass_at_k(scored, draw.binomial(candidates, chance), k)[:, k - 1]
            for chance in (first, first + better * (1 - first))
        )
        found = compare(a, b)
        mid += (found.p_value or 1.0) <= 0.05
        plain += (found.p_value_exact or 1.0) <= 0.05
        low, high = found.ci95 or (1.0, 0.0)
        held += low <= truth <= high
    return Rejections(mid / times, plain / times, held / times)


@dataclass(frozen=True)
class Marks:
    """Shares of simulated sweeps."""

    best_left_out: float
    """The point that is truly the best is called worse than another."""
    equal_left_out: float
    """Some point that is as good as the true best is called worse."""
    worse_told: float
    """Points that are truly worse, of all those, that are called so."""


def marks(
    temperatures: tuple[float, ...], sizes: tuple[int, ...], queries: int, times: int, alike: float = 2.0, seed: int = 0
) -> Marks:
    """A sweep over N and temperature, ranked by pass@N: each temperature has a mean chance, and shares its draws."""
    draw = np.random.default_rng(seed)
    most = max(sizes)
    scored = np.full(queries, most)
    best, as_good = max(temperatures), [mean for mean in temperatures if mean == max(temperatures)]
    left_out = 0.0
    equal_left_out = told = worse = 0
    for _ in range(times):
        hard = chances(draw, 0.5, alike, queries)
        points, draws = {}, {}
        for at, mean in enumerate(temperatures):
            chance = hard ** (np.log(mean) / np.log(0.5))
            curve = pass_at_k(scored, draw.binomial(most, chance), most)
            for n in sizes:
                points[f"{at} {n}"], draws[f"{at} {n}"] = curve[:, n - 1], str(at)
        found = standings(points, draws)
        tops = {at: found[f"{at} {most}"] for at in range(len(temperatures))}
        missing = [at for at, mean in enumerate(temperatures) if mean == best and not tops[at].as_good]
        left_out += len(missing) / len(as_good)
        equal_left_out += bool(missing)
        bad = [at for at, mean in enumerate(temperatures) if mean < best]
        told += sum(not tops[at].as_good for at in bad)
        worse += len(bad)
    return Marks(left_out / times, equal_left_out / times, told / worse if worse else float("nan"))


def shown(shares: Iterable[float]) -> str:
    """The smallest and the largest."""
    known = list(shares)
    return f"{100 * min(known):.1f} to {100 * max(known):.1f} %"


def main(short: bool) -> None:
    times = 200 if short else 2000
    print(
        "Coverage of 95 % intervals\n\n| rate | queries | true rates 0.1 to 0.9 | lowest outside |\n|---|---|---|---|"
    )
    grid = np.linspace(0.1, 0.9, 801)
    edges = np.concatenate([np.linspace(0.001, 0.0999, 400), np.linspace(0.9001, 0.999, 400)])
    for queries in (30, 100, 500):
        inside, outside = (binary_coverage(ours, queries, rates) for rates in (grid, edges))
        print(f"| binary (first, any), exact | {queries} | {shown(inside)} | {100 * outside.min():.1f} % |")
    for figure in FIGURES[:: 2 if short else 1]:
        for queries in (30, 100) if short else (30, 100, 500):
            inside_, outside_ = (
                [
                    coverage(figure, rate, alike, queries, times, seed)
                    for seed, alike in enumerate(list(ALIKE.values())[:: 2 if short else 1])
                    for rate in rates
                ]
                for rates in (INSIDE, OUTSIDE)
            )
            print(f"| {figure.name} | {queries} | {shown(inside_)} | {100 * min(outside_):.1f} % |")
    print("\nThe overall verification rate of a run with splits\n")
    print("| true rates of the splits | queries a split | N=1 | N=4 |\n|---|---|---|---|")
    for rates in SPLITS:
        for queries in (10, 30, 100):
            by_n = (
                shown(overall_coverage(rates, alike, queries, n, times) for alike in ALIKE.values()) for n in (1, 4)
            )
            print(f"| {', '.join(f'{rate:g}' for rate in rates)} | {queries} | {' | '.join(by_n)} |")
    print("\nBeside them, a percentile bootstrap of a binary rate, and Wilson's interval everywhere:\n")
    print("| true rate | queries | bootstrap | Wilson | ours |\n|---|---|---|---|---|")
    for rate in (0.5, 0.9, 0.97, 0.99):
        alone = np.array([rate])
        score = binary_coverage(lambda right, n: wilson(right / n, n), 30, alone)[0]
        cells = (bootstrap_coverage(rate, 30, times), score, binary_coverage(ours, 30, alone)[0])
        print(f"| {rate} | 30 | " + " | ".join(f"{100 * cell:.1f} %" for cell in cells) + " |")

    print("\nComparisons of two equal runs called different at 0.05, and how often the interval holds\n")
    print("| mean chance, a + b | N | metric | queries | mid-p | plain p | interval |\n|---|---|---|---|---|---|---|")
    for mean, alike in ((0.5, 1.0), (0.3, 4.0)) if short else ((0.5, 1.0), (0.3, 4.0), (0.1, 0.3), (0.5, 1e6)):
        for candidates, k in ((1, 1), (4, 1), (8, 1), (8, 4)):
            for queries in (100,) if short else (30, 100, 300):
                found = rejections(mean, alike, queries, candidates, k, times)
                cells_ = " | ".join(f"{100 * cell:.1f} %" for cell in (found.mid_p, found.plain, found.interval))
                print(f"| {mean}, {alike:g} | {candidates} | pass@{k} | {queries} | {cells_} |")

    print("\nThe points of a sweep over temperature and N, by pass@N, 100 queries\n")
    print("| mean chances at the temperatures | N | a best one left out | any of them | worse ones told |")
    print("|---|---|---|---|---|")
    for means in ((0.4,) * 3, (0.4,) * 6, (0.4, 0.395, 0.39, 0.385), (0.5, 0.3, 0.2), (0.3, 0.1), (0.45, 0.4, 0.4)):
        for sizes in ((1,), (1, 2, 4)):
            found_ = marks(means, sizes, 100, times // 4)
            cells_ = " | ".join(
                "–" if np.isnan(cell) else f"{100 * cell:.1f} %"
                for cell in (found_.best_left_out, found_.equal_left_out, found_.worse_told)
            )
            named = ", ".join(f"{mean:g}" for mean in means)
            print(f"| {named} | {', '.join(map(str, sizes))} | {cells_} |")


if __name__ == "__main__":
    main("--short" in sys.argv)
