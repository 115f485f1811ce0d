"""What Hydra and OmegaConf say of a mistake, in one message for the user: the key, what it got, what it wants.

Knows the wording of Hydra 1.3's exceptions; where one is not recognised, its own first lines stand.
"""

from __future__ import annotations

import re

from hydra.errors import OverrideParseException
from yaml import MarkedYAMLError

from bon_hydra.checks import OPEN_MAPS, nearest, suggest_key

WANTS = {
    "Float": "a number",
    "Integer": "a whole number",
    "Boolean": "true or false",
    "bool": "true or false",
    "String": "a text",
}
EXTRAS = {
    "hydra/launcher=joblib": "joblib",
    "hydra/launcher=submitit_local": "submitit",
    "hydra/launcher=submitit_slurm": "submitit",
    "hydra/sweeper=optuna": "optuna",
}
"""Options that Hydra's plugins bring, and the extra of ours that installs them."""


def explain(error: BaseException) -> str:
    """The message for an exception that Hydra or OmegaConf raised while composing."""
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override}: cannot be read as key=value, without spaces around the =. Text with spaces, commas, "
            "braces, = or : needs quotes inside quotes: 'notes=\"What: x, y=1\"'"
        )
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return (
            f"{mark.name}, line {mark.line + 1}: no YAML: {error.problem}. Text that holds a colon needs quotes, "
            "and keys of one level the same indentation."
        )
    text = "\n".join(dict.fromkeys(str(e) for e in _chain(error)))
    for rule in (_no_header, _group_on_saved_run, _unknown_option, _unknown_key, _wrong_type):
        message = rule(text)
        if message:
            return message
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(dict.fromkeys(lines))


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__
    return found


def _group_on_saved_run(text: str) -> str | None:
    found = re.search(r"Could not override '(?P<group>[\w/]+)'\.\s*No match in the defaults list", text)
    if not found:
        return None
    group = found["group"]
    return (
        f"{group}=…: the configuration that runs here has no group {group!r} (a saved run has none). "
        f"A new run from a saved one with another {group}: bon rerun RUN {group}=OPTION"
    )


def _unknown_option(text: str) -> str | None:
    found = re.search(r"Could not (?:find|load) '(?P<group>[\w/]+)/(?P<option>[^']+)'", text)
    if not found:
        primary = re.search(r"Cannot find primary config '(?P<name>[^']+)'", text)
        return (
            f"-cn {primary['name']}: there is no such YAML file; name its folder with --config-dir" if primary else None
        )
    group, option = found["group"], found["option"].removesuffix(".yaml")
    if extra := EXTRAS.get(f"{group}={option}"):
        return f"{group}={option}: needs an extra that is not installed: pip install 'bon_hydra[{extra}]'"
    listed = text.partition(f"Available options in '{group}':")[2].partition("Config search path")[0]
    options = [line.strip() for line in listed.splitlines() if line.startswith("\t")]
    hint = nearest(option, options)
    if group == "model":
        hint += f" Any model by its name: model=openai model.name={option}, or model=openai-compatible model.base_url=…"
    if group == "experiment":
        hint += " Your own YAML: --config-dir FOLDER, in FOLDER/experiment/NAME.yaml"
    return f"{group}={option}: there is no such option, wanted one of {', '.join(options)}{hint}"


def _unknown_key(text: str) -> str | None:
    found = re.search(r"Could not (?:override|append)[^']*'(?P<key>[\w.@/-]+)'", text) or re.search(
        r"Key '(?P<key>[^']+)' (?:is )?not in", text
    )
    if not found:
        return None
    full = re.search(r"full_key: (?P<key>[\w.]+)", text)
    key = found["key"] if "Could not override" in text or not full else full["key"]
    if re.match(r"experiment\b", key):
        return None
    if key.startswith(tuple(name + "." for name in OPEN_MAPS)):
        return f"{key}: a name of your own is added with a plus sign: +{key}=…"
    if key in OPEN_MAPS:
        return f"{key}: has a value already; add to it with a plus sign: +{key}.NAME=…"
    return f"{key}: unknown key{suggest_key(key)} Known keys: --help"


def _wrong_type(text: str) -> str | None:
    found = re.search(
        r"Value '(?P<value>.*?)'(?: of type '\w+')? (?:could not be converted to|is not a valid) (?P<kind>\w+)",
        text,
        re.S,
    )
    full = re.search(r"full_key: (?P<key>[\w.\[\]]+)", text)
    if found and full:
        return f"{full['key']}: got {found['value']!r}, wanted {WANTS.get(found['kind'], found['kind'].lower())}"
    if full and re.search(r"(Cannot|Invalid type|not (?:a )?subclass|non-?Optional|Merge error|is not optional)", text):
        first = next(
            line.strip()
            for line in text.splitlines()
            if re.search(r"(Cannot|Invalid|subclass|ptional|Merge error)", line)
        )
        return f"{full['key']}: {first}"
    return None


def _no_header(text: str) -> str | None:
    if not re.search(r"Key 'experiment' not in|full_key: experiment\b|@experiment\.", text):
        return None
    return (
        "experiment: the experiment's YAML must begin with the line `# @package _global_`, so that its keys override "
        "the run's own (as in conf/experiment/quickstart.yaml); without it they land below a key `experiment`, which "
        "there is not. A byte order mark before it, as some editors on Windows write one, hides it"
    )
