"""Writing the page: everything in one file, under a policy that lets nothing else run or be fetched."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jinja2
from markupsafe import Markup

from bon_hydra import __version__
from bon_hydra.records import SCORED, VERDICTS
from bon_hydra.report.page.figures import differences, run_figures
from bon_hydra.report.page.pairs import pairs
from bon_hydra.report.page.queries import read_outcomes
from bon_hydra.report.page.sample import choose
from bon_hydra.report.page.texts import Shown, pack, read_texts
from bon_hydra.runs import count_rows
from bon_hydra.schema import ConfigError

HERE = files("bon_hydra.report.page")

SCRIPTS = (
    *("dom", "data", "state", "marks", "code", "text", "charts", "cards", "rates", "pairs", "plots", "figures"),
    *("queries", "candidate", "query", "runs", "main"),
)
"""The page's own modules, js/NAME.js, each after those it imports from."""


IMPORT = r'^import \{[^}]*\} from "\./\w+\.js";\n'
"""How one of them imports from another: by name, and no name stands in two of them."""


@dataclass(frozen=True, slots=True)
class Written:
    """What stands in the page that was written."""

    queries: int
    candidates: int
    of_candidates: int
    """Of so many: more than `candidates` where a sample is shown."""
    size: int
    """In bytes."""
    empty: list[Path]
    """Runs without any candidate, which were left out."""


def write_page(
    paths: Sequence[Path], output: Path, limit: int, names: Mapping[Path, str] = MappingProxyType({})
) -> Written:
    """Write the page of these runs, each with at most `limit` candidates to read, in place of a file that is there.

    `names`: what some of them are called, in place of their folders. The same runs give the same bytes. Raises
    ConfigError where a run can't be read, none has candidates, or the page can't be written; what was there then stays.
    """
    check_output(output)
    filled = [path for path in paths if count_rows(path)]
    if not filled:
        raise ConfigError(f"{' '.join(map(str, paths))}: no candidates, nothing to show")
    content, packets = _content(filled, limit, names)
    html = render(content, packets, " · ".join(run["label"] for run in content["runs"])).encode()
    _replace(output, html)
    return Written(
        queries=len(content["queries"]),
        candidates=sum(run["shown"]["candidates"] for run in content["runs"]),
        of_candidates=sum(run["summary"]["overall"]["candidates"] for run in content["runs"]),
        size=len(html),
        empty=[path for path in paths if path not in filled],
    )


def check_output(output: Path) -> None:
    """Raises ConfigError where the page can't be called so."""
    if output.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"-o {output}: wanted a name that ends in .html")
    if output.is_dir():
        raise ConfigError(f"-o {output}: a folder, wanted a file")
    if not output.parent.is_dir():
        raise ConfigError(f"-o {output}: there is no folder {output.parent}; make it first")


def _replace(output: Path, html: bytes) -> None:
    """`output` holds `html`, or what it held before."""
    part = output.with_name(output.name + ".part")
    try:
        part.write_bytes(html)
        part.replace(output)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise ConfigError(f"-o {output}: {error.strerror or error}") from None


def _content(paths: Sequence[Path], limit: int, names: Mapping[Path, str]) -> tuple[dict[str, Any], list[list[str]]]:
    """What the page's script reads first, and the packets of each run."""
    outcomes = [read_outcomes(path) for path in paths]
    keys = choose(outcomes, limit)
    read = [read_texts(path, found, keys) for path, found in zip(paths, outcomes, strict=True)]
    drawn = run_figures(paths, outcomes)
    content = {
        "version": __version__,
        "verdicts": [(name, name in SCORED) for name in VERDICTS],
        "runs": [
            {
                "label": label,
                **figures,
                "shown": {
                    "queries": len(queries),
                    "candidates": sum(len(query.verdicts) for query in queries.values()),
                },
            }
            for label, figures, (queries, _) in zip(labels(paths, names), drawn, read, strict=True)
        ],
        "splits": list(dict.fromkeys(name for run in drawn for name in run["splits"])),
        "pairs": pairs(outcomes),
        "differences": differences([run["summary"]["metadata"] for run in drawn]),
        "queries": [
            {
                "id": key[1],
                "split": key[0],
                "title": next(queries[key].title for queries, _ in read if key in queries),
                "runs": [_entry(queries.get(key)) for queries, _ in read],
            }
            for key in keys
        ],
        "licenses": _asset("libraries/LICENSES.md"),
    }
    return content, [packets for _, packets in read]


def _entry(shown: Shown | None) -> list[Any] | None:
    """[packet, place, verdicts by number, which were cut off], or None where a run doesn't have the query."""
    if shown is None:
        return None
    numbers = [VERDICTS.index(name) if name in VERDICTS else name for name in shown.verdicts]
    return [shown.packet, shown.place, numbers, [at for at, cut in enumerate(shown.cut_off) if cut]]


def labels(paths: Sequence[Path], names: Mapping[Path, str] = MappingProxyType({})) -> list[str]:
    """What each run is called: as `names` says where they tell all apart, else its folder's name or its file's.

    With as much of the path before it as tells them apart.
    """
    given = [names[path] for path in paths if path in names]
    if len(set(given)) == len(paths):
        return given
    parts = [_name_parts(path) for path in paths]
    deep = 1
    while deep < max(map(len, parts)) and len({part[-deep:] for part in parts}) < len(parts):
        deep += 1
    found = ["/".join(part[-deep:]) for part in parts]
    twice = Counter(found)
    return [name if twice[name] == 1 else f"{name} ({at})" for at, name in enumerate(found, 1)]


def _name_parts(path: Path) -> tuple[str, ...]:
    path = Path(os.path.realpath(path))
    in_run_folder = (path.parent / "resolved.yaml").exists() or (path.parent / "summary.json").exists()
    return path.parent.parts if in_run_folder else (*path.parent.parts, path.stem)


def _asset(name: str) -> str:
    return HERE.joinpath(name).read_text(encoding="utf-8")


def render(content: dict[str, Any], packets: Sequence[Sequence[str]], title: str) -> str:
    """The page as text."""
    styles = [_asset("libraries/libraries.css"), _asset("page.css")]
    scripts = [_asset("libraries/libraries.js"), _own_script()]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(_asset("page.html.j2")).render(
        title=title,
        policy=policy(scripts, styles),
        styles=[Markup(style) for style in styles],
        libraries=Markup(scripts[0]),
        script=Markup(scripts[1]),
        content=pack(content),
        packets=packets,
        verdicts=VERDICTS,
    )


def policy(scripts: Sequence[str], styles: Sequence[str]) -> str:
    """The page's Content-Security-Policy: its own scripts and styles by their hashes, fonts inside it, no network.

    Trusted Types let no text become HTML, whoever asks for it, but the empty one (page.js makes that exception).
    """
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(map(_hash, scripts))}",
            f"style-src {' '.join(map(_hash, styles))}",
            "font-src data:",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types default",
        ]
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _own_script() -> str:
    """The page's modules as one: what they import from each other is there already."""
    parts = [_asset(f"js/{name}.js") for name in SCRIPTS]
    return "\n".join(re.sub(r"^export ", "", re.sub(IMPORT, "", part, flags=re.M), flags=re.M) for part in parts)
