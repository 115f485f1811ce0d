"""What a judge sees of an answer and of its question, and the verdicts that need no judge.

Knows no verifier: what "the right answer" means is each judge's own affair.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from bon_hydra.records import Query, Response, Verdict

_LONGEST_ANSWER = 200
_LONGEST_REASON = 160
_LONGEST_QUOTE = 60


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer of the model, without anything that was not part of the answer."""

    text: str
    """The whole text, thinking included; empty where the server sent none."""
    tool_calls: str | None = None
    """The structured calls as a JSON list; None where there are none."""
    finish_reason: str | None = None
    refused: bool = False
    """The text says that the model would not answer."""

    @property
    def truncated(self) -> bool:
        """The token limit ended the answer."""
        return self.finish_reason == "length"

    @property
    def filtered(self) -> bool:
        """The server withheld the answer, or part of it."""
        return self.finish_reason == "content_filter"

    @property
    def final_text(self) -> str:
        """What follows the last `</think>`; empty where the answer was cut off while thinking."""
        text = self.text.rpartition("</think>")[2]
        answer, opened, thought = text.partition("<think>")
        if not opened:
            return text.strip()
        return (answer if self.truncated else answer + thought).strip()

    @classmethod
    def of(cls, response: Response) -> Completion:
        calls = response.tool_calls
        return cls(
            text=response.text or "",
            tool_calls=None if calls is None or calls.strip() in {"", "[]", "null"} else calls,
            finish_reason=response.finish_reason,
            refused=response.refused,
        )


@dataclass(frozen=True, slots=True)
class Task:
    """What the answer is judged against."""

    reference: str | None
    """The ground truth, text or JSON; None where the row has none."""
    tools: str | None = None
    """The tool definitions sent, as a JSON list; None where none were."""
    question: str = ""
    readable: bool = True
    """False once reading the reference has met a limit: then it may be compared as text only."""

    @classmethod
    def of(cls, query: Query) -> Task:
        import json

        tools = None if query.tools is None else json.dumps(query.tools)
        return cls(reference=query.reference, tools=tools, question=query.question)


def settled(completion: Completion, task: Task) -> Verdict | None:
    """The verdict where no judge is needed: nothing to judge, or nothing to judge by. Else None."""
    if task.reference is None or not task.reference.strip():
        return Verdict("unverifiable", "no reference")
    if completion.refused:
        return Verdict("no_answer", one_line(f"refused: {completion.text}"))
    if completion.filtered:
        return Verdict("no_answer", "filtered by the server")
    if completion.tool_calls is None and not completion.final_text:
        return Verdict("no_answer", "cut off before an answer" if completion.truncated else "empty answer")
    return None


def one_line(text: str) -> str:
    """A reason as the `verdict_reason` column takes it: one line, short, encodable as UTF-8."""
    return shortened(_printable(text), _LONGEST_REASON)


def quoted(text: str) -> str:
    """A piece of an answer or a reference, short enough to stand inside a reason."""
    return shortened(_printable(text), _LONGEST_QUOTE)


def stored(answer: str) -> str:
    """An answer as the `answer` column takes it: short, and still different where the answers were.

    A longer one keeps its beginning and a hash of the whole, so that equal stored answers are equal answers.
    """
    answer = _printable(answer)
    if len(answer) <= _LONGEST_ANSWER:
        return answer
    return f"{answer[:_LONGEST_ANSWER]}… {hashlib.sha256(answer.encode()).hexdigest()[:12]}"


def comparison(way: str, answer: str, reference: str, equal: bool) -> str:
    """The reason of a verdict that compared two answers: "boxed 41, reference is 42"."""
    return one_line(f"{way} {quoted(answer)}, reference {'' if equal else 'is '}{quoted(reference)}")


def shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _printable(text: str) -> str:
    text = re.sub(r"[\s\x00-\x1f\x7f]+", " ", text).strip()
    return text.encode("utf-8", "replace").decode()
