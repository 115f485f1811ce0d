"""Is a configuration right? Everything that can be said of it without looking at the world.

`check` turns what Hydra composed into a `Config`, and raises one `ConfigError` that names the key, what it
got, what it wants and the nearest known name. Files, servers and data sets are looked at in `preflight`.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bon_hydra.schema import EMBEDDED, Config, ConfigError, ModelConfig
from bon_hydra.shards import shard_of

FORMATS = ("nemotron", "gsm8k", "math500", "aime", "humaneval", "mbpp", "tool_calls", "columns")
SAMPLING_KEYS = ("num_candidates", "temperature", "top_p", "max_tokens", "seed", "reasoning_effort", "stop")
TRACKERS = ("mlflow", "wandb")
OPEN_MAPS = (
    "model.extra_body",
    "prompt.system",
    "prompt.template",
    "prompt.examples",
    "dataset.verifier",
    "dataset.data_files",
)
"""Keys below which a user may add names of their own with `+`."""

NUMBERS: dict[str, tuple[float, float, str]] = {
    "num_candidates": (1, 100_000, "a whole number, 1 or more"),
    "temperature": (0, 2, "a number from 0 to 2, or null for not sent"),
    "max_tokens": (1, 10_000_000, "a whole number, 1 or more, or null for not sent"),
    "seed": (0, 2**62, "a whole number, 0 or more, or null for not sent"),
    "max_queries": (1, float("inf"), "a whole number, 1 or more, or null for all"),
    "concurrency": (1, 100_000, "a whole number, 1 or more"),
    "dataset.shuffle_seed": (0, 2**62, "a whole number, 0 or more, or null for the data set's own order"),
    "model.max_retries": (0, 1000, "a whole number, 0 or more"),
    "model.prices.input": (0, float("inf"), "USD per million tokens, 0 or more, or null for unknown"),
    "model.prices.output": (0, float("inf"), "USD per million tokens, 0 or more, or null for unknown"),
    "model.prices.cached_input": (0, float("inf"), "USD per million tokens, 0 or more, or null for unknown"),
    "runner.workers": (1, 10_000, "a whole number, 1 or more, or null for one a core"),
    "runner.sandbox.memory_mb": (64, 10_000_000, "megabytes, 64 or more"),
}
POSITIVE: dict[str, str] = {
    "budget_usd": "USD, more than 0, or null for none",
    "model.requests_per_minute": "a number above 0, or null for no limit",
    "model.tokens_per_minute": "a number above 0, or null for no limit",
    "model.timeout_s": "seconds, more than 0",
    "runner.sandbox.cpu_s": "seconds, more than 0",
}
CHOICES: dict[str, tuple[str, ...]] = {
    "dataset.format": FORMATS,
    "model.max_tokens_field": ("auto", "max_tokens", "max_completion_tokens"),
    "runner.name": ("local", "ray"),
    "runner.sandbox.level": ("auto", "namespaces", "landlock"),
}


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?`, or nothing where no known name is near."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else ""


def known_keys(kind: type = Config, prefix: str = "") -> Iterator[str]:
    """Every key of the schema with its dots, groups included."""
    hints = {f.name: f.default_factory for f in dataclasses.fields(kind)}
    for name, factory in hints.items():
        yield prefix + name
        if isinstance(factory, type) and dataclasses.is_dataclass(factory):
            yield from known_keys(factory, f"{prefix}{name}.")


def suggest_key(key: str) -> str:
    """The nearest known key to a misspelt one, as the end of a sentence."""
    keys = list(known_keys())
    found = nearest(key, keys)
    if not found:
        last = key.rsplit(".", 1)[-1]
        found = nearest(last, [k for k in keys if "." not in k]) or nearest(last, [k.rsplit(".", 1)[-1] for k in keys])
    return found


def check(composed: DictConfig) -> Config:
    """The composed configuration as a `Config`, every value within its range.

    Raises:
        ConfigError: an unknown key, a key that still needs a value, a wrong type or a value out of range.
    """
    content = OmegaConf.to_container(composed, resolve=False)
    _refuse_unknown(content, set(known_keys()), "")
    for key in sorted(OmegaConf.missing_keys(composed)):
        raise ConfigError(f"{key}: needs a value, and none is given. Say {key}=… on the command line.")
    try:
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), content))
    except OmegaConfBaseException as error:
        raise ConfigError(
            f"{getattr(error, 'full_key', '') or 'configuration'}: {str(error).splitlines()[0]}"
        ) from error
    assert isinstance(config, Config)
    _check_numbers(config)
    _check_choices(config)
    _check_dataset(config)
    _check_model(config)
    _check_trackers(config.output.trackers)
    return config


def _refuse_unknown(node: Any, known: set[str], prefix: str) -> None:
    if not isinstance(node, Mapping):
        return
    for name, value in node.items():
        key = f"{prefix}{name}"
        if key not in known:
            got = "a value that is not shown" if re.search(r"(?i)key|token|secret|password", key) else repr(value)
            raise ConfigError(f"{key}: unknown key (got {got}){suggest_key(key)} Known keys: --help")
        if key not in OPEN_MAPS:
            _refuse_unknown(value, known, key + ".")


def _value(config: Config, key: str) -> Any:
    value: Any = config
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _check_numbers(config: Config) -> None:
    for key, (low, high, wanted) in NUMBERS.items():
        value = _value(config, key)
        if value is not None and not low <= value <= high:
            raise ConfigError(f"{key}: got {value:g}, wanted {wanted}")
    for key, wanted in POSITIVE.items():
        value = _value(config, key)
        if value is not None and not 0 < value < float("inf"):
            raise ConfigError(f"{key}: got {value:g}, wanted {wanted}")
    if config.top_p is not None and not 0 < config.top_p <= 1:
        raise ConfigError(f"top_p: got {config.top_p:g}, wanted a number above 0 and at most 1, or null for not sent")
    choices = config.model.choices_per_request
    if choices != "auto" and (not isinstance(choices, int) or choices < 1):
        raise ConfigError(f"model.choices_per_request: got {choices!r}, wanted auto or a whole number, 1 or more")


def _check_choices(config: Config) -> None:
    for key, choices in CHOICES.items():
        value = _value(config, key)
        if value not in choices:
            raise ConfigError(f"{key}: got {value!r}, wanted one of {', '.join(choices)}{nearest(str(value), choices)}")


def _check_dataset(config: Config) -> None:
    shard_of(config.dataset.shard)
    for key in ("splits", "dataset.splits"):
        value = _value(config, key)
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
            config.splits = value
        if value is None:
            continue
        if not isinstance(value, list) or not value or not all(isinstance(s, str) for s in value):
            raise ConfigError(
                f"{key}: got {value!r}, wanted a list of split names such as [math,code], not an empty one"
            )
        if len(set(value)) < len(value):
            raise ConfigError(f"{key}: got {value!r}, wanted each split once")


def _check_model(config: Config) -> None:
    model = config.model
    model.extra_body = {} if model.extra_body is None else model.extra_body
    if not isinstance(model.extra_body, dict):
        raise ConfigError(f"model.extra_body: got {model.extra_body!r}, wanted a map such as {{top_k: 5}}")
    _check_addresses(model)
    if model.api_key_env is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", model.api_key_env):
        raise ConfigError(
            "model.api_key_env: wanted the NAME of an environment variable such as OPENAI_API_KEY, and got something "
            "else (not shown, it may be a key; a key itself never stands in a configuration)"
        )
    for name in (*SAMPLING_KEYS, "messages", "tools", "model", "n", "stream", "max_completion_tokens"):
        if name in model.extra_body:
            own = {"n": "num_candidates", "max_completion_tokens": "max_tokens"}.get(name, name)
            raise ConfigError(
                f"model.extra_body.{name}: is not for extra_body"
                + (f"; set {own} itself" if own in SAMPLING_KEYS else "")
            )
    if config.budget_usd is not None and config.max_tokens is None:
        raise ConfigError(
            "budget_usd: cannot be kept with max_tokens=null, since an answer may then cost anything. Set max_tokens."
        )


def _check_trackers(trackers: list[str]) -> None:
    for name in trackers:
        if name not in TRACKERS:
            known = ", ".join(TRACKERS)
            raise ConfigError(f"output.trackers: got {name!r}, wanted some of {known}{nearest(name, TRACKERS)}")
    if len(set(trackers)) < len(trackers):
        raise ConfigError(f"output.trackers: got {trackers!r}, wanted each once")


def _check_addresses(model: ModelConfig) -> None:
    if not isinstance(model.base_url, list):
        _check_base_url(model.base_url)
        return
    for url in model.base_url:
        _check_base_url(url)
    if not model.base_url or EMBEDDED in model.base_url or len(set(model.base_url)) < len(model.base_url):
        raise ConfigError(
            f"model.base_url: got {model.base_url!r}, wanted each address once, at least one, and not {EMBEDDED!r}"
        )
    if model.identity is None:
        raise ConfigError(
            "model.identity: needs a value where model.base_url is a list: any name for the model that all of them "
            "serve; the store knows its answers by it"
        )


def _check_base_url(url: Any) -> None:
    if url == EMBEDDED:
        return
    wanted = "wanted an address such as http://localhost:8000/v1"
    if not isinstance(url, str):
        raise ConfigError(f"model.base_url: got {url!r}, {wanted}")
    got = "something with an @ (not shown, it may hold credentials)" if "@" in url else repr(url)
    parts = _split_url(url, lambda why: ConfigError(f"model.base_url: got {got}, which is no address{why}; {wanted}"))
    if "@" in parts.netloc:
        raise ConfigError(
            "model.base_url: holds credentials (user or password before the @; not shown). Put the key into an "
            "environment variable and its NAME into model.api_key_env."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"model.base_url: got {got}, {wanted}")
    if re.search(r"(?i)(key|token|secret|password)=", parts.query):
        raise ConfigError(
            "model.base_url: holds what looks like a key in its query (not shown). Put it into an environment "
            "variable and its NAME into model.api_key_env."
        )


def _split_url(url: str, wrong: Callable[[str], ConfigError]) -> Any:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise wrong("" if "@" in url else f" ({error})") from None  # the error may quote what is not to be shown
    return parts
