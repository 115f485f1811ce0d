"""Writes docs/configuration.md from the schema: every key with its type, its default and what it means.

python scripts/configuration_reference.py
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bon_hydra.checks import SAMPLING_KEYS

ROOT = Path(__file__).parent.parent
SCHEMA = ROOT / "bon_hydra" / "schema.py"
REFERENCE = ROOT / "docs" / "configuration.md"

HEAD = """# Every key of a configuration

Made from `bon_hydra/schema.py` by `python scripts/configuration_reference.py`; a test holds it to be up to date.
Any key is set as `key=value` on the command line or in a YAML file of yours; `group=option` takes a whole file of
`conf/` (`python -m bon_hydra --help` lists the options). `python -m bon_hydra … --cfg job` prints what a command
composes to. Precedence, lowest first: `conf/config.yaml`, sampling, dataset, model, prompt, output, runner, experiment,
the command line. Defaults are the schema's; an option of a group may bring others. A misspelt key or a wrong type is
refused before anything is asked.
"""


@dataclass(frozen=True)
class Key:
    """One key; `name` with its groups before it."""

    name: str
    kind: str
    default: str
    meaning: str


def classes() -> dict[str, ast.ClassDef]:
    """The schema's dataclasses by name."""
    tree = ast.parse(SCHEMA.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def keys(of: str, known: dict[str, ast.ClassDef], before: str = "") -> Iterator[Key]:
    """A dataclass's keys in their order, those of the ones it holds in their place."""
    body = known[of].body
    for at, node in enumerate(body):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        name, kind = before + node.target.id, ast.unparse(node.annotation)
        if kind in known:
            yield from keys(kind, known, f"{name}.")
            continue
        after = body[at + 1] if at + 1 < len(body) else None
        said = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
        kind = kind.replace(" | None", " or null").replace("Any", "any")
        yield Key(name, kind, default_of(node.value), " ".join(str(said).split()))


def default_of(value: ast.expr | None) -> str:
    """As one writes it in YAML."""
    text = ast.unparse(value) if value else ""
    spelt = {"None": "null", "True": "true", "False": "false", "MISSING": "the option's", "''": '""'}
    if text.startswith("field(default_factory="):
        return "[]"
    return spelt.get(text, text.strip("'\""))


def reference() -> str:
    """The whole page."""
    found = list(keys("Config", classes()))
    groups = {"The run": [key for key in found if "." not in key.name and key.name not in SAMPLING_KEYS]}
    groups["sampling"] = [key for key in found if key.name in SAMPLING_KEYS]
    for key in found:
        if "." in key.name:
            groups.setdefault(key.name.partition(".")[0], []).append(key)
    page = [HEAD]
    for group, held in groups.items():
        page += [f"\n## {group}\n\n| key | type | default | |\n|---|---|---|---|\n"]
        page += [f"| `{key.name}` | {key.kind} | `{key.default}` | {key.meaning} |\n" for key in held]
    return "".join(page)


if __name__ == "__main__":
    REFERENCE.write_text(reference(), encoding="utf-8")
