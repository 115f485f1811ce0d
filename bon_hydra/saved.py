"""`resolved.yaml`: a run's whole configuration as data, and as a file that runs as it stands."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import yaml  # type: ignore[import-untyped, unused-ignore]

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
    content = _literal(dataclasses.asdict(config))
    text = yaml.dump(content, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False)
    return HEADER.format(name=name) + str(text)


class _Dumper(yaml.SafeDumper):  # type: ignore[misc, unused-ignore]
    """Texts so that OmegaConf reads the same texts again."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if re.search("[\r\x85\u2028\u2029\ufeff]", text):
        style = '"'  # the only style that escapes them; the others let a reader fold them into spaces
    elif re.match(r"[-+.\d]", text):
        style = "'"  # OmegaConf knows more numbers than YAML 1.1, `1e5` for one
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def _literal(value: Any) -> Any:
    """Texts that hold `${` escaped, since what is saved is resolved and must stay as it is."""
    if isinstance(value, dict):
        return {key: _literal(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_literal(inner) for inner in value]
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", value)
    return value
