"""The blocks of README.md and docs/: code, commands and outputs, each with its page and line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "outputs" / "README.md",
    *sorted(ROOT.glob("docs/**/*.md")),
]


@dataclass(frozen=True)
class Block:
    """What stands between fences, or is indented by four; `language` of the latter is `bash`, `title` the fence's."""

    page: str
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One command of a block, its comment off; `written` is the file that a here-document holds."""

    where: str
    words: tuple[str, ...]
    written: str | None = None

    def __str__(self) -> str:
        return f"{self.where}: {shlex.join(self.words)}"


def blocks(page: Path) -> Iterator[Block]:
    """In their order."""
    name, lines = str(page.relative_to(ROOT)), page.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines):
        fence = re.match(r"```(\w*)\s*(?:title=\"(.*)\")?\s*$", lines[at])
        if fence or lines[at].startswith("```"):
            assert fence, f"{name}:{at + 1}: {lines[at]}"
            end = lines.index("```", at + 1)
            yield Block(name, at + 1, fence[1], fence[2] or "", "\n".join(lines[at + 1 : end]) + "\n")
            at = end + 1
            continue
        if lines[at].startswith("    ") and not lines[at - 1].strip():
            end = at
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            yield Block(name, at + 1, "bash", "", "".join(f"{line[4:]}\n" for line in lines[at:end]))
            at = end
            continue
        at += 1


def commands(block: Block) -> Iterator[Command]:
    """Of a shell's block; what is joined by && or & is several."""
    lines = iter(enumerate(block.text.splitlines(), block.line + (not block.text.startswith(" "))))
    for number, line in lines:
        while line.endswith("\\"):
            line = line[:-1] + next(lines)[1]
        written = None
        if here := re.search(r"<<'(\w+)'$", line):
            held = []
            for _, text in lines:
                if text == here[1]:
                    break
                held.append(text)
            written, line = "".join(f"{text}\n" for text in held), line[: here.start()]
        for words in _parts(shlex.split(line, comments=True)):
            yield Command(f"{block.page}:{number}", tuple(words), written)


def _parts(words: list[str]) -> Iterator[list[str]]:
    part: list[str] = []
    for word in [*words, "&&"]:
        if word not in ("&&", "&"):
            part.append(word)
        elif part:
            yield part
            part = []


def inline(page: Path) -> Iterator[tuple[str, str]]:
    """What stands in a page's text as code, with where: no blocks."""
    name, inside = str(page.relative_to(ROOT)), False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        inside ^= line.startswith("```")
        if not inside and not line.startswith(("    ", "```")):
            yield from ((f"{name}:{number}", text) for text in re.findall(r"`([^`]+)`", line))


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
