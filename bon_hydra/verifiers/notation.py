"""One way of writing what LaTeX and prose write in many ways.

Rewrites notation only and keeps the meaning: two answers that become the same string say the same.
"""

from __future__ import annotations

import re

_SIGNS = str.maketrans(
    {
        "\u2212": "-", "\u2013": "-", "\u2014": "-", "\u2010": "-", "\u2011": "-",
        "\u00d7": r"\times ", "\u22c5": r"\cdot ", "\u00b7": r"\cdot ", "\u00f7": "/", "\u2215": "/", "\u2044": "/",
        "\u03c0": r"\pi ", "\u221e": r"\infty ", "\u2264": r"\le ", "\u2265": r"\ge ", "\u2260": r"\ne ",
        "\u00b1": r"\pm ", "\u222a": r"\cup ", "\u2229": r"\cap ", "\u2208": r"\in ", "\u2205": r"\emptyset ",
        "\u00b0": r"^\circ ", "\uff05": "%", "\uff0c": ",", "\uff08": "(", "\uff09": ")",
        "\u00bd": r"\frac{1}{2}", "\u00bc": r"\frac{1}{4}", "\u00be": r"\frac{3}{4}",
        "\u2153": r"\frac{1}{3}", "\u2154": r"\frac{2}{3}",
        "\u00b2": "^2", "\u00b3": "^3",
        "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u200b": "", "\ufeff": "",
        "\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'",
    }
)  # fmt: skip

_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("`", "`"))
_SIZES = re.compile(
    r"\\(?:[mb]?left|[mb]?right|[bB]igg?[lrm]?|displaystyle|textstyle|scriptstyle|limits|nolimits)(?![a-zA-Z])"
)
_TEXT = re.compile(r"\\(?:text(?:bf|it|rm|sf|normal)?|math(?:rm|bf|it|sf)|mbox|hbox|emph)\s*\{([^{}]*)\}")
_SPACE = re.compile(r"(\\\\)|\\!|\\[,;:> ]|\\q?quad(?![a-zA-Z])|\\(?:enspace|thinspace)(?![a-zA-Z])|~")
_SHORT_FRACTION = re.compile(r"\\frac\s*(?:(\d)\s*(\d)|(\d)\s*(\{[^{}]*\})|(\{[^{}]*\})\s*(\d))")
_SHORT_ROOT = re.compile(r"\\sqrt\s*(\d|[a-zA-Z](?![a-zA-Z]))")
_SYNONYMS = (
    (re.compile(r"\\[dtc]frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"\\(?:leq|leqslant)(?![a-zA-Z])"), r"\\le"),
    (re.compile(r"\\varnothing(?![a-zA-Z])"), r"\\emptyset"),
    (re.compile(r"\\(?:geq|geqslant)(?![a-zA-Z])"), r"\\ge"),
    (re.compile(r"\\neq(?![a-zA-Z])"), r"\\ne"),
    (re.compile(r"\\degree(?![a-zA-Z])|\^\s*\{\s*\\circ\s*\}|\^\s*\\circ(?![a-zA-Z])"), r"^\\circ "),
    (re.compile(r"\\lbrace(?![a-zA-Z])"), r"\\{"),
    (re.compile(r"\\rbrace(?![a-zA-Z])"), r"\\}"),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"\\\$"), "$"),
    (re.compile(r"\{,\}"), ","),
)
_NEEDLESS_SPACE = re.compile(r"(?<![A-Za-z0-9}]) | (?![A-Za-z0-9])|(?<=\}) (?![A-Za-z]{3})")
_ROOT_SIGN = re.compile(r"([√∛])\s*(?:(\d+|[A-Za-z])|\(([^()]*)\)|\{([^{}]*)\})")
_UNIT_LETTER = re.compile(r"(?<=[})i])\s*\\(?:text|mathrm)\{\s*([mgshLl])\s*\}")
_UNIT_NAMES = {"m": "meter", "g": "gram", "s": "second", "h": "hour", "l": "liter"}


def normalised(text: str) -> str:
    """The text of an answer in the one notation that judges compare.

    Delimiters, `\\text`, sizes and spacing go, `\\dfrac` becomes `\\frac`; a space stays only between two
    letters or digits, where it may mean something ("3 1/2", "5 cm"), and before a word behind a brace.
    """
    if text.isascii() and text.isdigit():
        return text
    text = text if text.isascii() else _ROOT_SIGN.sub(_root, text.translate(_SIGNS))
    text = _bare(text)
    if "\\" in text or "~" in text or "{" in text:
        text = _plain_latex(text)
    return _NEEDLESS_SPACE.sub("", _bare(" ".join(text.split())))


def _plain_latex(text: str) -> str:
    text = _SIZES.sub("", text)
    text = _UNIT_LETTER.sub(lambda unit: f" {_UNIT_NAMES[unit[1].lower()]}", text)
    text = _SPACE.sub(lambda space: space.group(1) or ("" if space.group() == r"\!" else " "), text)
    for _ in range(5):
        text, count = _TEXT.subn(r" \1 ", text)
        if not count:
            break
    for pattern, synonym in _SYNONYMS:
        text = pattern.sub(synonym, text)
    text = _SHORT_FRACTION.sub(_spelled_out, text)
    return _SHORT_ROOT.sub(r"\\sqrt{\1}", text)


def _bare(text: str) -> str:
    """Without the delimiters and the full stop that stand around the whole of it."""
    for _ in range(8):
        before = text
        text = text.strip().rstrip(".,;:").rstrip()
        for start, end in _DELIMITERS:
            inner = text[len(start) : -len(end)]
            if inner and text.startswith(start) and text.endswith(end) and start not in inner:
                text = inner
                break
        if text == before:
            break
    return text.removesuffix("\\")


def _root(sign: re.Match[str]) -> str:
    degree = "[3]" if sign[1] == "∛" else ""
    return rf"\sqrt{degree}{{{next(part for part in sign.groups()[1:] if part is not None)}}}"


def _spelled_out(fraction: re.Match[str]) -> str:
    top, bottom = (part.strip("{}") for part in fraction.groups() if part is not None)
    return rf"\frac{{{top}}}{{{bottom}}}"


_EQUALS = re.compile(r"(?<![<>!:\\=])=(?!=)")


def right_hand_side(text: str) -> str | None:
    """What a (chained) equation ends in, such as 5 for "x=2+3=5"; None where there is no single equation."""
    if "," in text or ";" in text:
        return None
    sides = _EQUALS.split(text)
    return sides[-1].strip() if len(sides) > 1 and all(side.strip() for side in sides) else None


_STATEMENT = re.compile(
    r"(?:(?<![\\A-Za-z])[A-Za-z]{2,}[ ,]+)+(?:is|are|equals|equal|be)(?:[: ]+|(?=[\\$(\[-]))(.+)", re.DOTALL
)


def without_statement(text: str) -> str:
    """A normalised answer without the words that announce it: "3" for "the minimum value is 3"."""
    stated = _STATEMENT.fullmatch(text)
    return stated[1] if stated else text


_CONJUNCTION = re.compile(r"(?:,\s*)?(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])")
_TO_LATEX = (
    (re.compile(r"(?<![\\A-Za-z])sqrt\(([^()]*)\)"), r"\\sqrt{\1}"),
    (re.compile(r"(?<![\\A-Za-z])(pi|infty|sin|cos|tan|log|ln|exp)(?![A-Za-z])"), r"\\\1 "),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"\*"), r" \\cdot "),
    (re.compile(r"(?<!\\)%"), r"\\%"),
    (re.compile(r"(?<!\\)\$"), ""),
)


_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\s?\^\\circ")


def as_latex(text: str) -> str:
    """A normalised answer as math-verify reads it: inside `$…$`, several joined by "and" as `$…$ and $…$`.

    It drops degree signs, so that those of trigonometric arguments are written out as radians.
    """
    if _TRIGONOMETRIC.search(text):
        text = _DEGREES.sub(r"\\frac{\1\\pi}{180}", text)
    for pattern, latex in _TO_LATEX:
        text = pattern.sub(latex, text)
    parts = [part.strip() for part in _CONJUNCTION.split(text)]
    return " and ".join(f"${part}$" for part in parts if part)


_LETTERS = re.compile(r"\\[A-Za-z]+|[A-Za-z]{4,}|([A-Z])(?:_(?:\{(\w+)\}|(\w)))?")


def with_case_kept(*texts: str) -> tuple[str, ...]:
    """The texts with capital letters renamed where one of them has the same letter in both cases.

    math-verify reads R and r as one symbol, so that R^2-r^2 would be 0.
    """
    used = [set(text) for text in texts]
    both = {letter for letters in used for letter in letters if letter.isupper() and letter.lower() in letters}
    if not both:
        return texts

    def renamed(found: re.Match[str]) -> str:
        letter = found[1]
        return f"{letter.lower()}_{{0{found[2] or found[3] or ''}}}" if letter in both else found.group()

    return tuple(_LETTERS.sub(renamed, text) for text in texts)
