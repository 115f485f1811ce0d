"""The house's plan holds: the table in docs/architecture.md says who may import whom, and what of other packages."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "bon_hydra"
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
SINGLED_OUT = {"sqlite3"}
"""Of Python's own, as if it were somebody else's."""


@dataclass(frozen=True)
class Room:
    """One line of the table."""

    names: tuple[str, ...]
    packages: frozenset[str]


def rooms() -> list[Room]:
    """The table, from its top to its bottom."""
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (`.*?) \| .* \| .* \| ?(.*?) ?\|$", text, re.MULTILINE)
    cells = [[tuple(re.findall(r"`([^`]+?)/?`", cell)) for cell in line] for line in lines]
    return [Room(names, frozenset(packages)) for names, packages in cells]


ROOMS = rooms()


def place(module: str) -> int | None:
    """The number of a module's room, that with the longest name that fits; None where it has none."""
    path = module.removeprefix("bon_hydra.").replace(".", "/")
    fitting = [
        (len(name), number)
        for number, room in enumerate(ROOMS)
        for name in room.names
        if f"{path}/".startswith(f"{name}/")
    ]
    return max(fitting)[1] if fitting else None


@cache
def imported(path: Path) -> set[str]:
    """The names of modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def own(path: Path) -> set[str]:
    return {name for name in imported(path) if name in MODULES and name != "bon_hydra"}


def packages(path: Path) -> set[str]:
    """Other people's packages that a file imports; what runs in the sandbox names its neighbours without a package."""
    beside = {each.stem for each in path.parent.glob("*.py")} if "sandbox" in path.parts else set()
    neighbours = beside | {"inside", "bon_hydra"}
    return {name.split(".")[0] for name in imported(path)} - neighbours - (sys.stdlib_module_names - SINGLED_OUT)


def test_every_module_has_a_room() -> None:
    """And every name in the table is a module or a folder of them."""
    assert [module for module in MODULES if module != "bon_hydra" and place(module) is None] == []
    names = [name for room in ROOMS for name in room.names]
    assert len(names) == len(set(names))
    assert [n for n in names if not (PACKAGE / n).is_dir() and not (PACKAGE / f"{n}.py").is_file()] == []


def test_a_room_imports_none_below_it() -> None:
    """Lazy imports count too."""
    upwards = [
        f"{module} imports {other}"
        for module, path in MODULES.items()
        if module != "bon_hydra"
        for other in own(path)
        if (place(other) or 0) > (place(module) or 0)
    ]
    assert upwards == []


@pytest.mark.parametrize("number", range(len(ROOMS)), ids=[room.names[0] for room in ROOMS])
def test_a_room_imports_just_the_packages_that_the_table_gives_it(number: int) -> None:
    """A change of library is then a change of one room."""
    found = {name for module, path in MODULES.items() if place(module) == number for name in packages(path)}
    assert found == set(ROOMS[number].packages)


def test_imports_form_no_circle() -> None:
    """Within a room neither."""
    order = list(TopologicalSorter({name: own(path) for name, path in MODULES.items()}).static_order())
    assert order.index("bon_hydra.records") < order.index("bon_hydra.experiment") < order.index("bon_hydra.__main__")


@pytest.mark.parametrize("name", ["records", "schema", "statistics", "refusals", "rate_headers"])
def test_what_everybody_builds_on_imports_nothing_of_the_project(name: str) -> None:
    """They can be read alone."""
    files = [path for module, path in MODULES.items() if f"{module}.".startswith(f"bon_hydra.{name}.")]
    assert files
    assert {module for path in files for module in own(path) if module.split(".")[1] != name} == set()


def test_bon_knows_no_hydra() -> None:
    """What `bon` imports, and what that imports, never leads there: it starts quickly, and reads strangers' files."""
    reached, left = set[str](), {"bon_hydra.cli"}
    while left:
        module = left.pop()
        reached.add(module)
        left |= {name for name in own(MODULES[module]) if name not in reached}
    assert [module for module in sorted(reached) if "hydra" in packages(MODULES[module])] == []


def test_every_package_is_in_the_wheel() -> None:
    """setup.cfg lists them one by one."""
    setup = (PACKAGE.parent / "setup.cfg").read_text(encoding="utf-8")
    found = {".".join(path.parent.relative_to(PACKAGE.parent).parts) for path in PACKAGE.rglob("__init__.py")}
    assert found <= set(setup.split())
