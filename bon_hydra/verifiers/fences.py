"""Blocks of code in Markdown as models write it: fences unclosed, indented, on the line of other text, in one another.

Knows no language but the names Python goes by.
"""

from __future__ import annotations

import re

_PYTHON = {"python", "python3", "py", "py3", "python2", "ipython", "ipython3", "sage"}
_ANY = {"", "text", "txt", "plaintext", "plain", "code", "none"}
"""Tags that a block of Python may have as well."""

_OPENING = re.compile(r"(?P<before>.*?)(?P<fence>`{3,}|~{3,})(?P<tag>[^`\n]*)")
_ONE_LINE = re.compile(r"\s*```(?P<tag>\w+)[ \t]+(?P<code>\S.*?)```\s*")
_MARK = re.compile(r"\s*(?:\[/?(?:PYTHON|CODE|BEGIN|DONE|END)\]|</?(?:answer|code|python|solution|program)>)\s*", re.I)


def fenced(text: str) -> list[str]:
    """The contents of the fenced blocks that may be Python, in their order; the last may be unclosed."""
    found: list[tuple[str, list[str]]] = []
    fence = indent = ""
    for line in text.split("\n"):
        if fence:
            code, closed = _up_to_closing(line, fence, indent)
            if code is not None:
                found[-1][1].append(_dedented(code, indent))
            if closed:
                fence = ""
            if not closed or code is not None or not _tag(line.strip().lstrip("`~")):
                continue
        if not fence and (whole := _ONE_LINE.fullmatch(line)) and _tag(whole["tag"]) in _PYTHON:
            found.append((_tag(whole["tag"]), [whole["code"]]))
        elif opening := _opening(line):
            fence = opening["fence"]
            indent = opening["before"] if opening["before"].isspace() else ""
            found.append((_tag(opening["tag"]), []))
    return [block for tag, lines in found if tag in _PYTHON | _ANY and (block := "\n".join(lines).strip("\n")).strip()]


def continues(block: str) -> bool:
    """Whether it starts indented, as what belongs to a block before it does."""
    return block[:1] in {" ", "\t"}


def without_marks(text: str) -> str:
    """The text with Python's line ends, without lines that only mark where an answer starts or ends."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line for line in lines if not _MARK.fullmatch(line))


def _tag(info: str) -> str:
    """The language that a fence names: `Python3` of "{.Python3 .numbered}"; empty where it names none."""
    words = re.findall(r"[\w+#-]+", info)
    return words[0].lower() if words else ""


def _opening(line: str) -> re.Match[str] | None:
    """A fence that opens a block: on a line of its own, or after other text where it names Python."""
    opening = _OPENING.fullmatch(line)
    if opening and (not opening["before"].strip() or _tag(opening["tag"]) in _PYTHON):
        return opening
    return None


def _up_to_closing(line: str, fence: str, indent: str) -> tuple[str | None, bool]:
    """What of a line is code of the open block, and whether the block ends in it."""
    bare = line.strip()
    depth = len(line) - len(line.lstrip())
    if bare.startswith(fence) and depth <= len(indent) + 3:
        if not bare.strip(fence[0]):
            return None, True
        if depth <= len(indent) and _tag(bare.strip(fence[0])) in _PYTHON:
            return None, True  # the fence before was never closed
    if bare.endswith(fence) and bare.strip(fence[0]) and line.count(fence) % 2:
        return line.rstrip().rstrip(fence[0]), True
    return line, False


def _dedented(line: str, indent: str) -> str:
    return line[len(indent) :] if line.startswith(indent) else line.lstrip()
