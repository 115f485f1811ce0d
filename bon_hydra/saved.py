"""`resolved.yaml`: a run's whole configuration as data, and as a file that runs as it stands."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from omegaconf import OmegaConf

from bon_hydra.schema import Config

HEADER = """\
# The whole configuration of one run, resolved. Again, from the folder it lies in:
#   python -m bon_hydra -cd . -cn {name} [key=value…]
defaults:
  - base_config
  - hydra: default
  - _self_
"""


def resolved_yaml(config: Config, name: str = "resolved") -> str:
    """The text of `resolved.yaml`: a header that makes it typed again, then every key with its value."""
    return HEADER.format(name=name) + OmegaConf.to_yaml(OmegaConf.create(_literal(dataclasses.asdict(config))))


def _literal(value: Any) -> Any:
    """Texts that hold `${` escaped, since what is saved is resolved and must stay as it is."""
    if isinstance(value, dict):
        return {key: _literal(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_literal(inner) for inner in value]
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", value)
    return value
