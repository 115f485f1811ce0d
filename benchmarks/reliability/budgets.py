"""What a run is billed never exceeds its budget.  python benchmarks/reliability/budgets.py [--short] [FIRST [COUNT]]

1,000 runs, each drawn from its number: prices, budget, lengths, concurrency, how often requests fail in which way, when
the run is killed or interrupted, and whether its budget is raised then. Every sitting is a process of its own that
meets real SIGKILLs; all but a few are forked from a warm process (`sitting`), the others are `python -m bon_hydra` and
`bon resume`. The server bills at once when a request arrives, whether its answer ever does or not.
"""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import zstandard

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

import app
from draws import NO_BILL, Account, Plan, drawn
from fake_api import FakeApi
from sitting import Forked, first, resumed, warm_up
from soak import Figure, Process, none_of, read_store, run_folders, tell

from bon_hydra.saved import resolved_yaml
from bon_hydra.schema import ColumnsConfig, Config, DatasetConfig, ModelConfig, OutputConfig, PricesConfig

RUNS, SHORT_RUNS = 1000, 16
AT_ONCE = 3
EXACT = 1 + 1e-9
"""Sums of thousands of numbers that are not exact."""


@dataclass
class Outcome:
    """What became of a run."""

    plan: Plan
    account: Account
    budget_usd: float
    """The last."""
    status: str = ""
    books_usd: float = 0.0
    """What the store holds for spent."""
    withheld_usd: float = 0.0
    """What killed sittings had set aside, and the worst cases less the bills of requests whose bill never arrived.

    What was in flight at a kill is in both, so it is what may be withheld at the most.
    """
    sittings: int = 0
    stops: Counter[str] = field(default_factory=Counter)
    raised: bool = False
    wrong: str = ""

    @property
    def billed_usd(self) -> float:
        return self.account.billed_usd()

    @property
    def over(self) -> bool:
        return self.billed_usd > self.budget_usd * EXACT

    @property
    def left(self) -> float:
        """What the books leave of the budget, in worst cases of one request."""
        return (self.budget_usd - self.books_usd) / self.plan.largest_usd

    def missed(self) -> str:
        """Which promise was not kept, if any."""
        return ", ".join(
            what
            for what, is_so in (
                ("billed more than the budget", self.over),
                ("books below the bills", self.books_usd * EXACT < self.billed_usd),
                ("books above the budget", self.books_usd > self.budget_usd * EXACT),
                ("books above all reasons", self.books_usd > (self.billed_usd + self.withheld_usd) * EXACT),
                ("the budget was not used", self.status == "budget_reached" and self.left > EXACT),
            )
            if is_so
        )


class Driven:
    """One run, sitting after sitting, to its end."""

    def __init__(self, plan: Plan, account: Account, url: str, folder: Path) -> None:
        self.plan, self.account, self.url, self.cwd = plan, account, url, folder
        self.outcome = Outcome(plan, account, plan.budget_usd)
        self.chance = random.Random(f"driven {plan.number}")
        self.store = folder / "outputs" / "store.sqlite"

    def to_its_end(self) -> Outcome:
        """Stops it as planned, and goes on with it until it ends by itself and is not given more."""
        outcome, stops = self.outcome, list(self.plan.stops)
        self.cwd.mkdir()
        rows = [{"question": question} for question in self.plan.questions]
        self.data = app.jsonl(self.cwd / "questions.jsonl", rows)
        more: tuple[str, ...] = ()
        while True:
            process = self.begin(*more)  # with the raised budget again, since a kill may have come before it was noted
            outcome.sittings += 1
            stop = stops.pop(0) if stops else None
            if stop is not None:
                self.wait_for_a_moment(process, at_any=stop == signal.SIGKILL)
                process.signal(stop)
            code = process.wait()
            if outcome.over:
                return outcome
            if code in (-signal.SIGKILL, 130):
                assert stop is not None
                outcome.stops[stop.name] += 1
                outcome.withheld_usd += self.number("SELECT coalesce(sum(usd), 0.0) FROM reservations")
                continue
            if code not in (0, 3):
                outcome.wrong = f"exit code {code}: {process.said.read_text()[-300:]}"
                return outcome
            outcome.status = self.status()
            if outcome.status == "budget_reached" and self.plan.raised and not outcome.raised:
                outcome.raised = True
                outcome.budget_usd *= self.plan.raised
                more = (f"budget_usd={outcome.budget_usd!r}",)
                continue
            if stops and code == 3:
                continue
            return self.counted()

    def begin(self, *more: str) -> Process | Forked:
        """The next sitting."""
        folders, said = run_folders(self.cwd), self.cwd / "said.txt"
        if self.plan.whole:
            if folders:
                return Process(self.cwd, said, "resume", str(folders[0]), *more, module="bon_hydra.cli")
            return Process(self.cwd, said, *self.arguments())
        if folders:
            return Forked(resumed, self.cwd, said, app.SECRET, folders[0], *more)
        folder = self.cwd / "outputs" / "2026-01-01" / f"00-00-00_soak-{self.outcome.sittings}"
        folder.mkdir(parents=True)
        (folder / "resolved.yaml").write_text(resolved_yaml(self.config()), encoding="utf-8")
        return Forked(first, self.cwd, said, app.SECRET, folder)

    def config(self) -> Config:
        plan, (input_, output, cached_input) = self.plan, self.plan.prices
        return Config(
            dataset=DatasetConfig(
                path="json",
                data_files=str(self.data),
                splits=["train"],
                columns=ColumnsConfig(prompt="question"),
                verifier="none",
            ),
            model=ModelConfig(
                name=f"run-{plan.number}",
                base_url=self.url,
                api_key_env="OPENAI_API_KEY",
                timeout_s=0.7,
                max_retries=plan.max_retries,
                choices_per_request=1,
                prices=PricesConfig(input=input_, output=output, cached_input=cached_input),
            ),
            output=OutputConfig(dir=str(self.cwd / "outputs"), store=str(self.store)),
            num_candidates=plan.candidates,
            concurrency=plan.concurrency,
            max_tokens=plan.max_tokens,
            budget_usd=plan.budget_usd,
            experiment_name="soak",
        )

    def arguments(self) -> list[str]:
        """The same on the command line."""
        config = self.config()
        prices = ", ".join(f"{name}: {value!r}" for name, value in dataclasses.asdict(config.model.prices).items())
        return [
            *("dataset=columns", "dataset.path=json", f"dataset.data_files={self.data}", "prompt=plain"),
            *("dataset.columns.prompt=question", "dataset.verifier=none", "model=openai-compatible"),
            *(f"model.base_url={self.url}", f"model.name={config.model.name}", "model.api_key_env=OPENAI_API_KEY"),
            *(f"model.timeout_s={config.model.timeout_s}", f"model.max_retries={config.model.max_retries}"),
            *(f"model.prices={{{prices}}}", f"budget_usd={config.budget_usd!r}", f"max_tokens={config.max_tokens}"),
            *(
                f"num_candidates={config.num_candidates}",
                "model.choices_per_request=1",
                f"concurrency={config.concurrency}",
            ),
        ]

    def wait_for_a_moment(self, process: Process | Forked, at_any: bool) -> None:
        """Until a number of further requests has arrived, and a little longer; or for a while, whatever it does."""
        if at_any and self.chance.random() < 0.3:
            time.sleep(self.chance.uniform(0, 6 if self.plan.whole else 2))
            return
        calls = len(self.plan.questions) * self.plan.candidates
        enough = len(self.account.sent) + self.chance.randint(1, 1 + calls * 2 // 3)
        while len(self.account.sent) < enough and not process.ended():
            time.sleep(0.002)
        time.sleep(self.chance.choice([0.0, self.chance.uniform(0, 0.05)]))

    def status(self) -> str:
        return str(json.loads((run_folders(self.cwd)[0] / "summary.json").read_text())["status"])

    def number(self, sql: str) -> float:
        rows = read_store(self.store, sql)
        return float(str(rows[0][0])) if rows else 0.0

    def counted(self) -> Outcome:
        """Holds the store's books against the server's."""
        outcome = self.outcome
        never_learned = {one.id: one for one in self.account.sent if one.fate not in NO_BILL}
        unpack = zstandard.ZstdDecompressor().decompress
        for (body,) in read_store(self.store, "SELECT body FROM responses"):
            assert isinstance(body, bytes)
            answer = json.loads(unpack(body))
            if "usage" in answer:
                del never_learned[answer["id"]]
        outcome.withheld_usd += sum(one.worst_usd - one.usd for one in never_learned.values())
        outcome.books_usd = self.number("SELECT coalesce(sum(spent_usd), 0.0) FROM accounts")
        if self.number("SELECT count(*) FROM reservations"):
            outcome.wrong = "reservations are open though it has ended"
        return outcome


def figures_of(outcomes: list[Outcome]) -> list[Figure]:
    """Every promise, over all runs."""
    ended = [one for one in outcomes if not one.wrong]
    reached = [one for one in ended if one.status == "budget_reached"]
    stops = sum((one.stops for one in outcomes), Counter[str]()).most_common()
    ends = Counter(one.status for one in ended).most_common()
    sent = [request for one in outcomes for request in one.account.sent]
    failed = [request for request in sent if request.fate != "answered"]
    in_vain = [request for request in failed if request.usd]
    left = [one.left for one in reached]
    used = [one.books_usd / one.budget_usd for one in reached]
    return [
        Figure(
            "runs",
            f"{len(outcomes):,}",
            f"{len(ended):,}: " + ", ".join(f"{count:,} {status}" for status, count in ends),
            len(ended) == len(outcomes),
        ),
        Figure(
            "sittings",
            "killed ones among them",
            f"{sum(one.sittings for one in outcomes):,}, ended by "
            + ", ".join(f"{count:,} {name}" for name, count in stops)
            + f"; {sum(one.raised for one in outcomes):,} budgets raised; "
            f"{sum(one.plan.whole for one in outcomes)} runs of whole processes",
            bool(stops),
        ),
        Figure(
            "requests",
            "failed ones, billed and not",
            f"{len(sent):,}; {len(failed):,} failed, {len(in_vain):,} of them billed",
            0 < len(in_vain) < len(failed),
        ),
        Figure(
            "bills over the budget",
            "<= 1",
            f"at most {max(one.billed_usd / one.budget_usd for one in outcomes):.4f}",
            not any(one.over for one in outcomes),
        ),
        none_of("books below the bills", [o.plan.number for o in ended if o.books_usd * EXACT < o.billed_usd]),
        none_of("books above the budget", [o.plan.number for o in ended if o.books_usd > o.budget_usd * EXACT]),
        none_of(
            "books above bills and what was withheld for bills that never came and kills",
            [o.plan.number for o in ended if o.books_usd > (o.billed_usd + o.withheld_usd) * EXACT],
        ),
        Figure(
            "budget less books where the budget was reached, in worst cases of one request",
            "<= 1",
            f"at most {max(left, default=0):.3f}; the books hold {statistics.median(used or [0]):.0%} of it (median)",
            max(left, default=0) <= EXACT,
        ),
    ]


def drive(numbers: range, folder: Path) -> list[Outcome]:
    """What became of the runs of these numbers, a few at once, all asking one server."""
    warm_up()
    accounts: dict[str, Account] = {}
    with FakeApi(faults=lambda request: accounts[request.body["model"]].meets(request), latency=(0.0, 0.03)) as api:

        def to_its_end(number: int) -> Outcome:
            plan = drawn(number)
            account = accounts[f"run-{number}"] = Account(plan)
            cwd = folder / str(number)
            outcome = Driven(plan, account, api.url, cwd).to_its_end()
            shutil.rmtree(cwd)
            return outcome

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(to_its_end, numbers))


def main(arguments: list[str]) -> int:
    short = "--short" in arguments
    numbers = [int(one) for one in arguments if one.isdecimal()]
    begin = numbers[0] if numbers else 0
    count = numbers[1] if len(numbers) > 1 else 1 if numbers else SHORT_RUNS if short else RUNS
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = drive(range(begin, begin + count), Path(folder))
    for one in outcomes:
        if problem := one.wrong or one.missed():
            print(f"run {one.plan.number}: {problem}", file=sys.stderr)
    return tell(f"{count:,} budget runs, {time.monotonic() - began:.0f} s", figures_of(outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
