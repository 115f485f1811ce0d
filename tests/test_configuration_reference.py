"""docs/configuration.md says what the schema says."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from bon_hydra.checks import known_keys

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))
made = import_module("configuration_reference")


def test_the_reference_is_what_the_schema_makes() -> None:
    """After a change of the schema: python scripts/configuration_reference.py."""
    assert made.REFERENCE.read_text(encoding="utf-8") == made.reference()


def test_every_key_is_in_it_with_a_sentence() -> None:
    """No key without a meaning, none that does not exist."""
    keys, known = list(made.keys("Config", made.classes())), list(known_keys())
    assert [key.name for key in keys if not key.meaning.endswith(".")] == []
    groups = {name.rpartition(".")[0] for name in known}
    assert [key.name for key in keys] == [name for name in known if name not in groups]
