"""Who draws which candidate: one sitting at a time, and nobody waits for the dead. Beside it what a store keeps."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from stores import WHEN, ask, end, key, keys, kill, put, python, sitter, stored

from bon_hydra.store import CandidateStore, Stored


def claim(store: CandidateStore, wanted: list[bytes]) -> list[Stored | bool]:
    return asyncio.run(store.claim(wanted))


def test_a_claim_dies_with_its_process(tmp_path: Path) -> None:
    """SIGKILLed, it leaves a hundred claims; the next look gets them all, and none before."""
    path = tmp_path / "s"
    holder = sitter(path, "holder", claims=100)
    with CandidateStore(path, "next") as store:
        assert claim(store, keys(100)) == [False] * 100
        kill(holder)
        assert claim(store, keys(100)) == [True] * 100
    assert [file.name for file in tmp_path.iterdir()] == ["s"]


def test_a_process_that_ends_lets_go_of_its_claims(tmp_path: Path) -> None:
    """Nothing of its sitting is left in the file or beside it."""
    path = tmp_path / "s"
    end(sitter(path, "ended", claims=3))
    assert ask(path, "SELECT count(*) FROM claims") == ask(path, "SELECT count(*) FROM sittings") == [(0,)]
    assert [file.name for file in tmp_path.iterdir()] == ["s"]
    with CandidateStore(path, "next") as store:
        assert claim(store, keys(3)) == [True] * 3


def test_a_sitting_lives_by_whatever_link_the_store_is_reached(tmp_path: Path) -> None:
    """A symbolic link in another folder is the same store with the same claims."""
    path, link = tmp_path / "s", tmp_path / "elsewhere" / "link"
    link.parent.mkdir()
    link.symlink_to(path)
    holder = sitter(path, "holder", claims=1)
    with CandidateStore(link, "other") as store:
        assert claim(store, keys(2)) == [False, True]
        end(holder)


CLAIMER = """
import asyncio, random, sys
from pathlib import Path
from bon_hydra.store import CandidateStore

async def main():
    numbers = list(range(2000))
    random.Random(sys.argv[2]).shuffle(numbers)
    with CandidateStore(Path(sys.argv[1]), sys.argv[2]) as store:
        for first in range(0, 2000, 20):
            wanted = numbers[first : first + 20]
            claimed = await store.claim([n.to_bytes(16, "big") for n in wanted])
            print(*(n for n, one in zip(wanted, claimed) if one is True), flush=True)
            if first == 0:
                sys.stdin.readline()  # until both have begun
        print("done", flush=True)
        sys.stdin.readline()  # a claim ends with its process

asyncio.run(main())
"""


def claimed_at_first(process: subprocess.Popen[str]) -> list[int]:
    assert process.stdout is not None
    return [int(number) for number in process.stdout.readline().split()]


def claimed_by(process: subprocess.Popen[str]) -> list[int]:
    assert process.stdout is not None
    return [int(number) for line in iter(process.stdout.readline, "done\n") for number in line.split()]


def test_two_processes_that_claim_the_same_keys_get_each_exactly_once(tmp_path: Path) -> None:
    """2,000 keys, claimed at the same time in two orders."""
    path = tmp_path / "s"
    processes = [python(CLAIMER, path, name) for name in ("a", "b")]
    begun = [claimed_at_first(process) for process in processes]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    first, second = ([*one, *claimed_by(process)] for one, process in zip(begun, processes, strict=True))
    for process in processes:
        end(process)
    assert sorted(first + second) == list(range(2000))
    assert first
    assert second


def test_a_claim_ends_by_release_or_with_the_answer(tmp_path: Path) -> None:
    """Until then it is False for everybody, its own process included; an answer is handed out in its place."""
    with CandidateStore(tmp_path / "s", "a") as a, CandidateStore(tmp_path / "s", "b") as b:
        assert claim(a, keys(2)) == [True, True]
        assert claim(a, keys(2)) == claim(b, keys(2)) == [False, False]
        asyncio.run(b.release(keys(2)))  # not its own
        assert claim(b, keys(2)) == [False, False]
        asyncio.run(a.release([key(0)]))
        answer = stored(b"1", run_id="a")
        put(a, [key(1)], answer)
        assert claim(b, keys(2)) == [True, answer]


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.sampled_from(["claim", "release", "put"]), st.integers(0, 3)), max_size=30)
)
def test_claims_of_two_sittings_in_any_order_are_as_one_would_keep_them_by_hand(
    steps: list[tuple[int, str, int]],
) -> None:
    """Claims, releases and answers, drawn at random, against a table of who holds what."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s"
        with CandidateStore(path, "0") as zero, CandidateStore(path, "1") as one:
            held: dict[int, int] = {}
            answered: dict[int, bytes] = {}
            for number, (who, what, which) in enumerate(steps):
                store = (zero, one)[who]
                if what == "claim":
                    (found,) = claim(store, [key(which)])
                    if which in answered:
                        assert isinstance(found, Stored)
                        assert found.body == answered[which]
                    else:
                        assert found is (which not in held)
                        held.setdefault(which, who)
                elif what == "release":
                    asyncio.run(store.release([key(which)]))
                    if held.get(which) == who:
                        del held[which]
                else:
                    (kept,) = put(store, [key(which)], stored(str(number).encode(), run_id=str(who)))
                    assert kept.body == answered.setdefault(which, str(number).encode())


def test_of_a_hundred_reservations_of_the_dead_none_is_lost(tmp_path: Path) -> None:
    """What a killed process had set aside may have been billed: it counts, for it and for the account's other runs."""
    path = tmp_path / "s"
    kill(sitter(path, "run", reservations=[0.25] * 100))
    with CandidateStore(path, "next") as store:
        assert asyncio.run(store.spent("run")) == 25.0
    assert ask(path, "SELECT count(*) FROM reservations") == [(0,)]


def test_an_account_of_several_runs_is_one_budget(tmp_path: Path) -> None:
    """What one run spends or sets aside leaves less for the other."""

    async def main(a: CandidateStore, b: CandidateStore) -> None:
        first = await a.reserve("sweep", 4.0, 10.0)
        assert await b.reserve("sweep", 4.0, 10.0) != first
        refused = await b.reserve("sweep", 4.0, 10.0)
        assert not isinstance(refused, int)
        assert refused.in_flight == 2
        assert await a.spent("sweep") == await b.spent("sweep") == 8.0

    with CandidateStore(tmp_path / "s", "a") as a, CandidateStore(tmp_path / "s", "b") as b:
        asyncio.run(main(a, b))


def test_verdicts_are_kept_and_the_first_of_a_key_stays(tmp_path: Path) -> None:
    """None in its place where there is none; also for a process that comes later."""
    with CandidateStore(tmp_path / "s") as store:
        asyncio.run(store.keep_verdicts([(key(1), b"one"), (key(2), b"two")]))
        asyncio.run(store.keep_verdicts([(key(2), b"other"), (key(3), b"three")]))
    with CandidateStore(tmp_path / "s") as store:
        found = asyncio.run(store.verdicts([key(3), key(0), key(2), key(1)]))
    assert found == [b"three", None, b"two", b"one"]


def test_history_is_of_this_model_and_data_set_the_newest_run_first(tmp_path: Path) -> None:
    """Three runs over two data sets and two models; at most as many answers as asked for."""
    path = tmp_path / "s"
    for number, (run, dataset, model) in enumerate(
        [("a", "math", "m"), ("b", "code", "m"), ("c", "math", "other"), ("d", "math", "m")]
    ):
        with CandidateStore(path, run, dataset) as store:
            for i in range(3):
                put(store, [key(10 * number + i)], stored(f"{run}{i}".encode(), run_id=run), "i", model)

    def bodies(model: str, dataset: str, most: int) -> list[str]:
        with CandidateStore(path) as store:
            return [found.body.decode() for found in asyncio.run(store.history("i", model, dataset, most))]

    assert bodies("m", "math", 100) == ["d0", "d1", "d2", "a0", "a1", "a2"]
    assert bodies("m", "math", 4) == ["d0", "d1", "d2", "a0"]
    assert bodies("other", "math", 100) == ["c0", "c1", "c2"]
    assert bodies("m", "reasoning", 100) == bodies("none", "math", 100) == []


def test_what_a_server_said_of_its_model_counts_once_an_answer_of_it_is_there(tmp_path: Path) -> None:
    """Apart by identity and model; a description without answers binds nobody."""

    async def said(store: CandidateStore, identity: str = "i", model: str = "m") -> str | None:
        return await store.described(identity, model)

    with CandidateStore(tmp_path / "s") as store:
        asyncio.run(store.describe("i", "m", "the first"))
        assert asyncio.run(said(store)) is None
        asyncio.run(store.describe("i", "m", "the second"))
        put(store, [key(0)], stored(), "i", "m")
        assert asyncio.run(said(store)) == "the second"
        put(store, [key(1)], stored(), "i", "silent")
        assert asyncio.run(said(store, model="silent")) is None
        assert asyncio.run(said(store, identity="other")) is None


def test_what_a_run_has_asked_is_counted_over_its_sittings(tmp_path: Path) -> None:
    """Answers, failures and candidates; of an answer that another run was quicker to store, no candidate."""
    path = tmp_path / "s"
    for first in (0, 2):
        with CandidateStore(path, "run") as store:
            put(store, [key(first), key(first + 1)], stored())
            asyncio.run(store.failed("run"))
    with CandidateStore(path, "quicker") as store:
        put(store, [key(9)], stored(run_id="quicker", at=WHEN - timedelta(days=1)))
    with CandidateStore(path, "run") as store:
        put(store, [key(9)], stored())
        done = asyncio.run(store.done("run"))
        assert (done.answered, done.failed, done.candidates) == (3, 2, 4)
        assert asyncio.run(store.done("nobody")).answered == 0
