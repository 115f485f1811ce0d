"""The seed's command: a flat YAML file and flags become the overrides of this program's own run.

    python -m bon_hydra.flat --config experiments/baseline.yaml --model gpt-4o --max-queries 200 [key=value …]

Flags beat the file; whatever else this program can do is said in `key=value` after them. Knows nothing of runs.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml  # type: ignore[import-untyped, unused-ignore]

from bon_hydra import launch
from bon_hydra.__main__ import main as run
from bon_hydra.checks import nearest
from bon_hydra.endings import refuse
from bon_hydra.options import CONF
from bon_hydra.schema import ConfigError

KEYS = {
    "dataset": "a data set on the Hub, a local folder, or an option of dataset=",
    "splits": "a list, or joined by commas",
    "streaming": "true or false",
    "max_queries": "of each split",
    "model": "its name at OpenAI; another server by model.base_url=…",
    "num_candidates": "of each query",
    "temperature": "0 to 2",
    "max_tokens": "of each candidate",
    "concurrency": "requests in flight at once",
    "output": "the parquet file",
    "notes": "what is tested, and why",
}
"""Every key of the flat file, and what it takes; each is a flag too."""

OWN_MODELS = ("gpt-4o", "gpt-4o-mini")
"""Models that have an option of their own, with their prices."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def main(arguments: Sequence[str], beside: Path | None = None) -> None:
    """Runs what the arguments ask for, and exits as the program does; exit code 2 and one line for a mistake.

    A `--config` that is not there is looked for below the folder `beside`.
    """
    try:
        config, flags, overrides = _read(arguments)
        values = read_flat(_found(config, beside)) | flags
        name = f"experiment_name={quoted(Path(config).stem)}"
        sys.argv[1:] = [name, *translate(values, overrides, named="model" in flags)]
    except ConfigError as error:
        sys.exit(refuse(str(error)))
    launch.given_config_file = config
    run()


def read_flat(path: Path) -> dict[str, Any]:
    """The keys of a flat YAML file with their values.

    Raises:
        ConfigError: no such file, no YAML, not flat, or a key that the format does not have.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = "" if line is None else f", line {line + 1}"
        raise ConfigError(f"{path}{where}: no YAML: {getattr(error, 'problem', None) or 'cannot be read'}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: wanted lines such as `model: gpt-4o-mini`, with the keys {', '.join(KEYS)}")
    for key, value in content.items():
        if key not in KEYS:
            hydras = " (a file with defaults is for python -m bon_hydra)" if key == "defaults" else ""
            raise ConfigError(f"{path}: {key}: unknown key{hydras}{_known(str(key), list(KEYS))}")
        if isinstance(value, dict) or (isinstance(value, list) and key != "splits"):
            raise ConfigError(f"{path}: {key}: got {value!r}, wanted {KEYS[key]}")
    return content


def translate(values: Mapping[str, Any], overrides: Sequence[str] = (), named: bool = False) -> list[str]:
    """The program's overrides for the keys of a flat file, with `overrides` of the program's own after them.

    A group that is among `overrides` replaces the flat file's; the model's name is still said then where `named`.
    """
    groups = {override.partition("=")[0] for override in overrides}
    translated: list[str] = []
    if "dataset" not in groups:
        translated += _dataset(str(values.get("dataset") or "nemotron"))
    if "model" not in groups:
        translated += _model(str(values.get("model") or "gpt-4o-mini"))
    elif named:
        translated.append(f"model.name={quoted(str(values['model']))}")
    for key, value in values.items():
        if key == "splits" and value is not None:
            listed = value if isinstance(value, list) else str(value).split(",")
            translated.append(f"splits=[{','.join(quoted(str(split).strip()) for split in listed)}]")
        elif key == "streaming" and value is not None:
            translated.append(f"dataset.streaming={_literal(value)}")
        elif key == "output" and value is not None:
            translated.append(f"output.file={quoted(str(Path(str(value)).expanduser().absolute()))}")
        elif key == "notes":
            translated.append(f"notes={quoted(str(value or ''))}")
        elif key not in ("dataset", "model", "output", "splits", "streaming"):
            translated.append(f"{key}={_literal(value)}")
    return [*translated, *overrides]


def quoted(text: str) -> str:
    """A text as Hydra's grammar takes it, whatever is in it, and as OmegaConf leaves it."""
    literal = re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", text)  # no interpolation
    return "'" + re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + "\\'" * bool(found[2]), literal) + "'"


def _read(arguments: Sequence[str]) -> tuple[str, dict[str, Any], list[str]]:
    """The config file, the keys given as flags, and the program's own overrides."""
    parser = _Parser(
        prog="generate_best_of_n.py",
        allow_abbrev=False,
        description="Best-of-N candidates after a flat YAML file. Flags beat the file.",
        usage="%(prog)s --config FILE [--model NAME] [--max-queries N] … [key=value …]",
        epilog="key=value: any key of the program's own, such as model.base_url=… or dry_run=true; see "
        "python -m bon_hydra --help",
    )
    parser.add_argument("--config", metavar="FILE", help="the flat YAML file, such as experiments/baseline.yaml")
    for key, takes in KEYS.items():
        if key == "streaming":
            parser.add_argument(flag(key), nargs="?", const="true", metavar="BOOL", help=takes)
        else:
            parser.add_argument(flag(key), metavar="VALUE", help=takes)
    parser.add_argument(
        "--no-streaming", dest="streaming", action="store_const", const="false", help="the same as false"
    )
    given, rest = parser.parse_known_args(_spelt(arguments))
    known = [flag(key) for key in ("config", *KEYS)]
    for argument in rest:
        if argument.startswith("-"):
            raise ConfigError(f"{argument}: unknown flag{_known(argument.partition('=')[0], known)}")
        if "=" not in argument:
            raise ConfigError(f"{argument}: wanted a flag or key=value{_known(argument, known)}")
    if given.config is None:
        raise ConfigError("--config: needs a flat YAML file, such as experiments/baseline.yaml")
    flags = {key: value for key, value in vars(given).items() if key in KEYS and value is not None}
    return given.config, flags, rest


def _spelt(arguments: Sequence[str]) -> list[str]:
    """Flags with dashes; a bare --streaming with its value, which a key=value after it is not."""
    spelt: list[str] = []
    for argument in arguments:
        if spelt and spelt[-1] == "--streaming" and ("=" in argument or argument.startswith("-")):
            spelt[-1] = "--streaming=true"
        name, equals, value = argument.partition("=")
        spelt.append((flag(name.removeprefix("--")) if name.startswith("--") else name) + equals + value)
    return spelt


def _found(config: str, beside: Path | None) -> Path:
    path = Path(config).expanduser()
    if not path.exists() and beside is not None and (beside / config).exists():
        return beside / config
    if not path.is_file():
        known = sorted(str(file.relative_to(beside)) for file in beside.glob("experiments/*.yaml")) if beside else []
        more = f"; there are {', '.join(known)}{nearest(config, known)}" if known else ""
        raise ConfigError(f"--config {config}: no such file{more}")
    return path


def flag(key: str) -> str:
    """The flag of a key."""
    return "--" + key.replace("_", "-")


def _known(word: str, names: Sequence[str]) -> str:
    """The end of a sentence about a name that there is not."""
    hint = nearest(word, names) or "."
    return f"{hint} Known: {', '.join(names)}; everything else as key=value after the flags"


def _dataset(name: str) -> list[str]:
    """An option of the group by its name or its path; anything else is read as Nemotron's rows are."""
    if Path(name).expanduser().is_dir():
        return ["dataset=nemotron", f"dataset.path={quoted(name)}"]
    for file in sorted((CONF / "dataset").glob("*.yaml")):
        path = yaml.safe_load(file.read_text(encoding="utf-8")).get("path")
        if path != "???" and name in (file.stem, path):
            return [f"dataset={file.stem}"]
    return ["dataset=nemotron", f"dataset.path={quoted(name)}"]


def _model(name: str) -> list[str]:
    return [f"model={name}"] if name in OWN_MODELS else ["model=openai", f"model.name={quoted(name)}"]


def _literal(value: Any) -> str:
    """A number, true, false or null as the program reads it; a text that is none of them is said to be wrong there."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    text = str(value).strip()
    return text if re.fullmatch(r"[\w.+-]+", text) else quoted(text)


if __name__ == "__main__":
    main(sys.argv[1:])
