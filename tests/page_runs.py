"""Runs for the page of `bon report`: queries of every kind, answers of every kind, and answers that mean harm."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sample_runs import ARRIVED, METADATA, write

from bon_hydra.records import Candidate, Judged, Query, Response, Verdict

NOTES = "What: does warmth help?\nWhy: the candidates were all alike."
CONFIG = "num_candidates: 4\ntemperature: {}\nmodel:\n  name: mock\n"

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "The city's name"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city"],
        },
    },
}


@dataclass(frozen=True)
class Said:
    """One candidate: its verdict and what was said."""

    verdict: str
    text: str | None = None
    reason: str = "because"
    answer: str | None = None
    answer_class: int | None = None
    reasoning: str | None = None
    tool_calls: str | None = None
    finish_reason: str = "stop"
    score: float | None = None
    error: str | None = None
    candidate_id: str | None = None


def asked(
    query_id: str,
    question: str,
    candidates: Sequence[Said],
    *,
    split: str = "math",
    verifier: str = "math",
    reference: str | None = "5",
    tools: Sequence[dict[str, Any]] | None = None,
    system: str = "You are terse.",
    tokens: int = 40,
) -> Judged:
    """A judged query, as a run hands it to its file."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    query = Query(
        query_id=query_id,
        split=split,
        question=question,
        messages=(messages[1],),
        tools=tuple(tools) if tools else None,
        reference=reference,
        verifier=verifier,
        source_id=f"row/{query_id}",
    )
    return Judged(
        query,
        json.dumps(messages, ensure_ascii=False),
        tuple(_candidate(query_id, index, said, tokens) for index, said in enumerate(candidates)),
        tuple(
            Verdict(
                said.verdict,
                said.reason,
                f"{verifier} 1",
                answer=said.answer,
                score=said.score,
                scorer=None if said.score is None else "tests passed",
                error=said.error if said.verdict == "verifier_error" else None,
            )
            for said in candidates
        ),
        tuple(said.answer_class for said in candidates),
    )


def _candidate(query_id: str, index: int, said: Said, tokens: int) -> Candidate:
    lost = said.verdict == "api_error"
    length = tokens + 7 * index + len(said.text or "") // 4
    response = Response(
        text=said.text,
        reasoning=said.reasoning,
        tool_calls=said.tool_calls,
        finish_reason=said.finish_reason,
        prompt_tokens=60,
        completion_tokens=length,
        model="mock-2026",
        request_id=f"req-{index}",
        latency_s=0.4 + length / 80,
        created_at=ARRIVED + timedelta(seconds=index),
        seed=1000 + index,
    )
    return Candidate(
        index=index,
        candidate_id=said.candidate_id or f"{query_id}/{index}",
        response=None if lost else response,
        error=said.error if lost else None,
        attempts=9 if lost else 1,
        final=not lost,
        cost_usd=None if lost else length * 6e-7,
    )


def called(name: str, **arguments: Any) -> str:
    """A tool call, as a server sends it."""
    return json.dumps([{"id": "c", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}])


QUADRATIC = r"""We solve $x^2 - 5x + 6 = 0$ by factoring:

\[
x^2 - 5x + 6 = (x-2)(x-3)
\]

| root | check |
|---:|:---|
| 2 | $4 - 10 + 6 = 0$ |
| 3 | $9 - 15 + 6 = 0$ |

1. The **sum** is $2 + 3 = 5$.
2. The *product* is \(2 \cdot 3 = 6\).

Therefore the sum of the roots is \boxed{5}."""

PROGRAM = """Here is the function:

```python
def sum_even(numbers: list[int]) -> int:
    # Only the even ones count.
    return sum(n for n in numbers if n % 2 == 0)
```

It runs in `O(n)`."""

WRONG_PROGRAM = """```python
def sum_even(numbers):
    return sum(numbers)
```"""


def math_queries(count: int, right: int = 2) -> list[Judged]:
    """Sums; the number of right candidates goes round from 0 to 4, and its mean rises with `right`."""
    return [
        asked(
            f"sum{n:04d}",
            f"What is {n} + {n + 1}?",
            [
                Said("pass", rf"It is \boxed{{{2 * n + 1}}}.", "boxed, equal", str(2 * n + 1), 0)
                if (n * 7 + index * 3) % 5 < right
                else Said(
                    "fail", rf"It is \boxed{{{2 * n + index + 2}}}.", "differs", str(2 * n + index + 2), index + 1
                )
                for index in range(4)
            ],
            reference=str(2 * n + 1),
            tokens=20 + n % 60,
        )
        for n in range(count)
    ]


def everything(right: int = 2) -> list[Judged]:
    """Queries of each split, with each verdict and each way of answering."""
    return [
        asked(
            "quadratic",
            "Let $r$ and $s$ be the roots of $x^2 - 5x + 6 = 0$. What is $r + s$?",
            [
                Said("pass", QUADRATIC, "boxed 5, reference 5", "5", 0),
                Said("fail", "The sum is $-5$, so \\boxed{-5}.", "boxed -5, reference is 5", "-5", 1),
                Said(
                    "pass", "<think>Vieta says it is 5.\nYes: $-b/a$.</think>\nBy Vieta: \\boxed{5}", "boxed 5", "5", 0
                ),
                Said("no_answer", "<think>Let me think about", "cut off before an answer", finish_reason="length"),
            ],
        ),
        *math_queries(12, right),
        asked(
            "weather",
            "What is the weather in Oslo right now?",
            [
                Said("pass", None, "called get_weather", tool_calls=called("get_weather", city="Oslo")),
                Said("fail", None, 'city is "Osl"', tool_calls=called("get_weather", city="Osl", unit="celsius")),
                Said("fail", "I do not know the weather.", "no call"),
                Said("api_error", error="HTTP 500 from the server: try again later", reason="no response"),
            ],
            split="tool_calling",
            verifier="tool_calls",
            reference='[{"name": "get_weather", "arguments": {"city": "Oslo", "id": 9007199254740993}}]',
            tools=[WEATHER],
        ),
        asked(
            "sum-even",
            "Write a function `sum_even(numbers)` that returns the sum of the even numbers.",
            [
                Said("pass", PROGRAM, "4 of 4 tests", score=1.0),
                Said("fail", WRONG_PROGRAM, "test 1: expected [6], got 10", score=0.25),
                Said("timeout", "```python\nwhile True: pass\n```", "more than 8 s of CPU", score=0.0),
                Said("verifier_error", "def f(): pass", "the sandbox broke", error="worker ended by signal 9"),
            ],
            split="code",
            verifier="code",
            reference='{"kind": "calls", "fn_name": "sum_even", "inputs": [[[1, 2, 3, 4]]], "outputs": [[6]]}',
        ),
        asked(
            "languages",
            "قل مرحبا بالعربية ثم 用中文说你好。",
            [
                Said("pass", "مرحبا، كيف حالك؟ العدد هو 5.", "exact"),
                Said("fail", "你好，世界。答案是五。これは日本語です。", "differs"),
                Said("unverifiable", "שלום", "reference cannot be parsed"),
                Said("pass", "Hello \u202egnihtemos\u202c and a\u0301\u0301\u0301\u0301 accents", "exact"),
            ],
            split="code",
            verifier="exact",
        ),
        asked(
            "long",
            "Write a very long answer.",
            [
                Said("fail", "\n\n".join(f"Paragraph {n}: " + "words " * 60 for n in range(300)), "too long"),
                Said("pass", "Short.", "fits", reasoning="First I think.\n" * 400),
            ],
        ),
    ]


HARMFUL = {
    "script": "</script><script>window.harmed = 'script'</script>",
    "comment": "<!-- <script> --><!--<script>",
    "image": "<img src=x onerror=\"window.harmed = 'image'\">",
    "svg": "<svg onload=\"window.harmed='svg'\"><style>*{display:none!important}</style></svg>",
    "frame": "<iframe srcdoc=\"<script>parent.harmed='frame'</script>\"></iframe>",
    "link": "[click me](javascript:window.harmed='link') <javascript:window.harmed=1> [x](https://evil.test/?q=1)",
    "remote image": "![seen](https://evil.test/pixel.png) ![](data:text/html,<script>harmed=1</script>)",
    "reference": '[a]: https://evil.test/ "t"\n\n[a] ![a][a] <https://evil.test/auto>',
    "separators": "a\u2028b\u2029c\x00d\ufeffe ]]> --> &lt;b&gt; &#60;script&#62;",
    "katex": r"$\href{javascript:window.harmed='katex'}{x}$ $\includegraphics{https://evil.test/x.png}$ "
    r"$\htmlData{x=1}{y}$ $\htmlId{query}{y}$ $\url{https://evil.test}$",
    "katex that spreads": r"$$\rule{9000em}{9000em}$$ $$\raisebox{-900em}{pass}$$ $\kern-900em PASS$",
    "katex that covers": r"$\smash{\raisebox{1em}{\rule{19em}{19em}}}$ $\rlap{\smash{\raisebox{9em}{PASS}}}$",
    "katex that goes on": r"$\def\a{\a\a}\a$ " + "$" + "{" * 800 + "}" * 800 + "$",
    "template": "{{ 7 * 7 }} {% raw %} ${window.harmed='template'} `",
    "handlers": '<a href="x" onclick="harmed=1" id="content">x</a><form id="query"><input name="state"></form>',
    "fence": '```html"><script>harmed=1</script>\n<b>bold</b>\n```',
    "style": "<style>body{background:url(https://evil.test/)}</style><link rel=stylesheet href=https://evil.test>",
    "meta": '<meta http-equiv="refresh" content="0;url=https://evil.test"><base href="https://evil.test">',
    "deep": "> " * 3000 + "deep " + "[" * 3000 + "*" * 3000,
}
"""Answers that would do something, were they ever read as HTML, script, Markdown links or trusted LaTeX."""


def harmful() -> list[Judged]:
    """Every text of a run is harmful: ids, splits, questions, references, reasons, answers."""
    return [
        asked(
            f"harm-{name}-<b>\"'",
            text,
            [
                Said("pass", text, text, text, 0, reasoning=text),
                Said("fail", f"```html\n{text}\n```", text, tool_calls=text),
                Said("api_error", error=text),
                Said("fail", None, tool_calls=called(text, **{text: text, "__proto__": text})),
            ],
            split=f"<i>{name[0]}</i>__proto__",
            reference=text,
            tools=[{"type": "function", "function": {"name": text, "description": text, "parameters": {text: text}}}],
            system=text,
        )
        for name, text in HARMFUL.items()
    ]


def described(temperature: float = 0.7, notes: str = NOTES) -> dict[str, str]:
    """A run's metadata."""
    config = CONFIG.format(temperature)
    return {**METADATA, "temperature": str(temperature), "notes": notes, "config_yaml": config, "status": "complete"}


def write_run(folder: Path, queries: Sequence[Judged], metadata: Mapping[str, str] = METADATA) -> Path:
    """A run folder with its file."""
    path = write(folder / "run.parquet", queries, metadata)
    (folder / "resolved.yaml").write_text(metadata.get("config_yaml", ""), encoding="utf-8")
    return path
