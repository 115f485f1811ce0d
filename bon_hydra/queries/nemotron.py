r"""nvidia/Nemotron-Post-Training-Dataset-v1, and whatever has its layout. A row of split math:

    {"uuid": "a3b0…", "license": "cc-by-4.0", "generator": "DeepSeek-R1-0528", "version": "v1", "category": "math", "reasoning": "on",
     "messages": [{"role": "user", "content": "Find the sum of …", "tool_calls": []},
                  {"role": "assistant", "content": "<think>…</think>… \\boxed{12}", "tool_calls": []}],
     "metadata": "{\"expected_answer\": \"12\", \"problem_source\": \"aops_c4_high_school_math\"}"}

and of split tool_calling, whose conversations have several turns:

    {"uuid": "9d61…", …, "category": "tool_calling", "reasoning": "off",
     "messages": [{"role": "system", "content": "", "tool_calls": []},
                  {"role": "user", "content": "Book a table for two in Oslo.", "tool_calls": []},
                  {"role": "assistant", "content": "", "tool_calls": [{"id": "call_1", "type": "function",
                    "function": {"name": "book_table", "arguments": "{\"city\": \"Oslo\", \"people\": 2}"}}]}, …],
     "metadata": "{\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"book_table\", \"parameters\": {…}}}]}"}

`uuid` names a solution, not a problem: many rows share one prompt. A row of split code holds neither question nor tests;
its metadata says which row of which data set does (see `sources`):

    {"uuid": "51c0…", …, "category": "code", "messages": [{"role": "user", "content": "-", "tool_calls": []}, …],
     "metadata": "{\"source\": \"codechef\", \"dataset\": \"taco\", \"split\": \"train\", \"index\": \"17\"}"}
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bon_hydra.queries.json_numbers import as_text, dumps, loads
from bon_hydra.queries.parts import Parts, Row, SkippedRow
from bon_hydra.queries.sources import Sources
from bon_hydra.queries.tool_calls import calls_of, tools_of
from bon_hydra.records import Message

COLUMNS = ("messages", "metadata")
VERIFIER = {"math": "math", "code": "code", "stem": "choice", "tool_calling": "tool_calls", "chat": "none"}
"""The kinds of row there are, each with its verifier. A split has its kind's name; elsewhere `category` says it."""
FILES = {
    "math": "data/math-*",
    "code": "data/code-*",
    "tool_calling": "data/tool-*",
    "stem": "data/stem-*",
    "chat": "data/chat-*",
}
"""Which files hold which split, for a copy that has no README.md to say so."""


def parts(row: Row, split: str, sources: Sources) -> Parts:
    """The prompt is everything before the first assistant turn; that turn, or the metadata, gives the reference.

    Code has its question and tests from `sources`, whose SourceError comes through.
    """
    kind = split if split in VERIFIER else str(row.get("category"))
    if kind not in VERIFIER:
        raise SkippedRow(f"neither split {split!r} nor category {kind!r} is one of {', '.join(VERIFIER)}")
    prompt, answer = _turns(row.get("messages"))
    tools: tuple[dict[str, Any], ...] | None = None
    reference: str | None = None
    if kind == "tool_calling":
        if answer is None:
            raise SkippedRow("no assistant turn, so no reference")
        tools = tools_of(_metadata(row).get("tools"), "metadata.tools")
        reference = dumps(calls_of(answer.get("tool_calls"), tools))
    elif kind == "code":
        metadata = _metadata(row)
        problem = sources.problem(metadata.get("dataset"), metadata.get("split"), metadata.get("index"))
        prompt = tuple({**m, "content": problem.question} if m["content"].strip() == "-" else m for m in prompt)
        reference = problem.tests
    elif kind != "chat":
        reference = as_text(_metadata(row).get("expected_answer"))
    return Parts(prompt, reference, VERIFIER[kind], tools=tools or None, source_id=as_text(row.get("uuid")))


def _turns(messages: Any) -> tuple[tuple[Message, ...], Message | None]:
    if not isinstance(messages, Sequence) or isinstance(messages, str):
        raise SkippedRow("column 'messages' is not a list")
    prompt: list[Message] = []
    answer: Message | None = None
    for turn in messages:
        if not isinstance(turn, Mapping) or not isinstance(turn.get("role"), str):
            raise SkippedRow("a message without a role")
        if turn["role"] == "assistant":
            answer = dict(turn)
            break
        content = turn.get("content") or ""
        if not isinstance(content, str):
            raise SkippedRow("a message whose content is not text")
        if turn["role"] == "system" and not content.strip():
            continue
        prompt.append({"role": turn["role"], "content": content})
    if not any(m["role"] == "user" and m["content"].strip() for m in prompt):
        raise SkippedRow("no user turn before the first assistant turn")
    return tuple(prompt), answer


def _metadata(row: Row) -> Mapping[str, Any]:
    value = row.get("metadata")
    if isinstance(value, str):
        try:
            value = loads(value)
        except ValueError as error:
            raise SkippedRow(f"column 'metadata' is not JSON: {error}") from None
    if not isinstance(value, Mapping):
        raise SkippedRow("column 'metadata' is not a JSON object")
    return value
