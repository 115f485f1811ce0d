"""`resolved.yaml`: a run's whole configuration as data, and as a file that runs as it stands."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped, unused-ignore]
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from bon_hydra.checks import check
from bon_hydra.schema import Config, ConfigError

DEFAULTS = ["base_config", {"hydra": "default"}, "_self_"]
HEADER = """\
# The whole configuration of one run, resolved. Again, from the folder it lies in:
#   python -m bon_hydra -cd . -cn {name} [key=value…]
defaults:
  - base_config
  - hydra: default
  - _self_
"""
INTERPOLATION = re.compile(r"(?<!\\)(?:\\\\)*\$\{")
"""`${` that OmegaConf would look up; behind an odd number of backslashes it is a text."""
DEEPEST = 64
"""Levels of lists and maps in a configuration; ours has few, and a loader recurses once a level."""


def resolved_yaml(config: Config, name: str = "resolved") -> str:
    """The text of `resolved.yaml`: a header that makes it typed again, then every key with its value."""
    content = literal(dataclasses.asdict(config))
    text = yaml.dump(content, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False)
    return HEADER.format(name=name) + str(text)


def load_config(path: Path) -> Config:
    """The configuration of a `resolved.yaml`, checked. It is data: nothing in it is looked up or run.

    Raises:
        ConfigError: the file is not there, no YAML, or no configuration of a run.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    return config_from(text, str(path))


def config_from(text: str, where: str) -> Config:
    """The same from the text; `where` names it in errors."""
    try:
        _refuse_bombs(text, where)
        content = OmegaConf.create(text)
    except (YAMLError, OmegaConfBaseException, UnicodeError) as error:
        raise ConfigError(f"{where}: is no YAML of a run ({str(error).splitlines()[0]})") from error
    if not isinstance(content, DictConfig):
        raise ConfigError(f"{where}: is no configuration of a run")
    if interpolation := _interpolation(OmegaConf.to_container(content, resolve=False), ""):
        raise ConfigError(f"{where}: {interpolation} holds an interpolation, which a saved configuration never does")
    if content.pop("defaults", DEFAULTS) != DEFAULTS:
        raise ConfigError(f"{where}: defaults are not those of a saved run, which are {DEFAULTS}")
    return check(content)


def _refuse_bombs(text: str, where: str) -> None:
    """No aliases, which a few lines of can stand for gigabytes, and no nesting that no configuration has."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > DEEPEST:
            what = f"lists within lists, more than {DEEPEST} deep" if depth > DEEPEST else f"an alias, *{event.anchor}"
            raise ConfigError(f"{where}: holds {what}, which a saved configuration never does")


def _interpolation(value: Any, key: str) -> str | None:
    """The first key whose value would be looked up elsewhere, in the environment for one."""
    if isinstance(value, str):
        return key if INTERPOLATION.search(value) else None
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    places = ((f"{key}.{name}" if key else str(name), node) for name, node in inner)
    return next((found for place, node in places if (found := _interpolation(node, place))), None)


def replace_file(path: Path, text: str) -> None:
    """Writes a file whole or not at all, and durably: a run that was killed must find it."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)  # a link of that name would lead elsewhere
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


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


def literal(value: Any) -> Any:
    """Texts that hold `${` escaped, in whatever holds them, since what is saved is resolved and must stay as it is."""
    if isinstance(value, dict):
        return {key: literal(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [literal(inner) for inner in value]
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", value)
    return value
