"""The house's plan holds: imports point one way, and each library has one room."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "bon_hydra"
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
ROOMS = {
    "openai": {"client"},
    "httpx2": {"client"},
    "aiohttp": {"client"},
    "aiolimiter": {"limits"},
    "sqlite3": {"store"},
    "tenacity": {"retries"},
    "datasets": {"queries"},
    "math_verify": {"verifiers"},
    "xllamacpp": {"embedded_server"},
    "genai_prices": {"prices"},
    "jinja2": {"prompts", "report"},
    "hydra": {"__main__", "grid", "launch", "mistakes", "rerun"},
    "typer": {"cli"},
    "pyarrow": {"results", "runs", "report", "queries", "export"},
    "matplotlib": {"report"},
    "scipy": {"statistics"},
    "ray": {"cluster"},
    "mlflow": {"trackers"},
    "wandb": {"trackers"},
}
"""Who may import what."""


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


def test_imports_form_no_circle() -> None:
    """Lazy imports count too."""
    order = list(TopologicalSorter({name: own(path) for name, path in MODULES.items()}).static_order())
    assert order.index("bon_hydra.records") < order.index("bon_hydra.experiment") < order.index("bon_hydra.__main__")


@pytest.mark.parametrize("name", ["records", "schema", "statistics", "refusals", "rate_headers"])
def test_what_everybody_builds_on_imports_nothing_of_the_project(name: str) -> None:
    """They can be read alone."""
    files = [path for module, path in MODULES.items() if f"{module}.".startswith(f"bon_hydra.{name}.")]
    assert files
    assert {module for path in files for module in own(path) if module.split(".")[1] != name} == set()


@pytest.mark.parametrize("library", ROOMS)
def test_each_library_is_known_by_its_room_alone(library: str) -> None:
    """A change of library is then a change of one module."""
    users = {
        name.removeprefix("bon_hydra.").split(".")[0]
        for name, path in MODULES.items()
        if any(found.split(".")[0] == library for found in imported(path))
    }
    assert users <= ROOMS[library]
    assert users


def test_every_package_is_in_the_wheel() -> None:
    """setup.cfg lists them one by one."""
    setup = (PACKAGE.parent / "setup.cfg").read_text(encoding="utf-8")
    packages = {".".join(path.parent.relative_to(PACKAGE.parent).parts) for path in PACKAGE.rglob("__init__.py")}
    assert packages <= set(setup.split())
