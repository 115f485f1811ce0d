"""What of a saved configuration is taken over, which a stranger may have written, and what needs the user's word.

A key goes to the providers that `conf/model/` knows, and to no other host that the user did not confirm; nothing is
written but into a new run folder and a store of ours; programs stay in the sandbox. Knows configurations; asks nobody.
"""

from __future__ import annotations

import glob
import ipaddress
from collections.abc import Collection, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml  # type: ignore[import-untyped, unused-ignore]

from bon_hydra.names import is_url, local_dir
from bon_hydra.options import CONF
from bon_hydra.preflight import is_own_server
from bon_hydra.saved_run import SavedRun
from bon_hydra.schema import EMBEDDED, Config, ConfigError, ModelConfig, OutputConfig, addresses, in_one_line
from bon_hydra.store.file import is_store

SAVED = "saved"
"""The option of each group that is the saved run's block."""


@dataclass(frozen=True)
class Permission:
    """Which keys may go to the saved run's host, by the names of their variables."""

    base_url: str
    keys: tuple[str | None, ...] | None
    """None: any; the user confirmed the host. A key of None is none at all."""


def given(key: str, keys: Collection[str]) -> bool:
    """Whether the overrides' `keys` say something of this key, or of what holds it."""
    parts = key.split(".")
    return any(".".join(parts[: end + 1]) in keys for end in range(len(parts)))


def taken_over(run: SavedRun, keys: Collection[str]) -> tuple[Config, list[str]]:
    """The saved configuration as it may run here, below overrides of `keys`, and what is said of the changes."""
    config, told = deepcopy(run.config), []

    def leave(key: str, instead: str) -> None:
        if not given(key, keys):
            told.append(f"{key}: not taken over from the saved run, {instead}")

    if config.runner.sandbox.allow_unsafe:
        config.runner.sandbox.allow_unsafe = False
        leave("runner.sandbox.allow_unsafe", "since it would run programs unconfined; say it here if you mean it")
    if config.runner.address is not None:
        config.runner.address = None
        leave("runner.address", "since it names other machines; say it here if you mean it")
    if "/" in config.output.file:
        config.output.file = OutputConfig.file
        leave("output.file", "since that file is the saved run's; the new one lies in the new run's folder")
    config.output.dir = str(run.home or Path("outputs").absolute())
    if config.output.store is not None and not is_store(Path(config.output.store)):
        if config.output.store != f"{config.output.dir}/store.sqlite":
            leave("output.store", f"since {config.output.store} is no store here; this run's is below output.dir")
        config.output.store = OutputConfig.store
    if config.output.trackers and str(run.home) != run.config.output.dir:
        config.output.trackers = []
        leave("output.trackers", "since it would write into your accounts; say it here if you mean it")
    config.experiment_name = config.experiment_name or "rerun"
    config.dry_run = False
    if given("dataset.path", keys) and not given("dataset.revision", keys):
        config.dataset.revision = None  # a commit of the other data set
    return config, told


def missing_file(config: Config, keys: Collection[str]) -> str | None:
    """What to say of the first local file that the saved run read and that is not here."""
    for key, path in _files_read(config):
        if Path(path).is_absolute() and not glob.glob(path) and not given(key, keys):  # noqa: PTH207 - absolute
            return f"{key}: the saved run read {path}, which is not here. Say where it is now: {key}=PATH"
    return None


def foreign_address(config: Config, keys: Collection[str]) -> str | None:
    """What to say of the first data that would be fetched from anywhere but the Hub.

    An address can be of this network's inside, and of any protocol, with whatever this user may log in with.
    """
    for key, path in _files_read(config):
        if ("://" in path or "::" in path) and not path.startswith("hf://") and not given(key, keys):
            return f"{key}: the saved run reads {path}, which is not on the Hub. If you mean it: {key}={path}"
    return None


def local_files(run: SavedRun, keys: Collection[str]) -> Iterable[str]:
    """What is said of the files here that a run from elsewhere reads and sends."""
    if run.home is None:
        asked = in_one_line(run.config.model.base_url)
        for key, path in _files_read(run.config):
            if path.startswith(("/", "~", "./", "../")) and not given(key, keys):
                yield f"{key}: the saved run reads {path}, and that file's text goes to {asked}"


def _files_read(config: Config) -> Iterable[tuple[str, str]]:
    """Keys, and the files, folders or addresses that they name."""
    dataset = config.dataset
    named: dict[str, list[str | None]] = {"dataset.path": [dataset.path], "model.gguf": [config.model.gguf]}
    if not Path(dataset.path).is_absolute():  # else they lie below it
        named["dataset.data_files"] = list(_names(dataset.data_files))
    named |= {f"dataset.sources.{name}": [path] for name, path in vars(dataset.sources).items()}
    return ((key, path) for key, paths in named.items() for path in paths if path)


def _names(data_files: Any) -> Iterable[str]:
    if isinstance(data_files, str):
        yield data_files
    elif isinstance(data_files, Mapping | list):
        for inner in data_files.values() if isinstance(data_files, Mapping) else data_files:
            yield from _names(inner)


def known_hosts(folders: Iterable[Path] = ()) -> dict[str, set[str | None]]:
    """The providers that the options of `model` name: scheme and host -> names of the variables with their keys."""
    known: dict[str, set[str | None]] = {}
    for file in (path for folder in (CONF, *folders) for path in sorted(folder.glob("model/*.yaml"))):
        option = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        option = option.get("model", option)
        parts = urlsplit(str(option.get("base_url")))
        if parts.hostname:
            known.setdefault(f"{parts.scheme}://{parts.netloc}", {None}).add(option.get("api_key_env"))
    return known


def own_loopback(run: SavedRun) -> list[str]:
    """The hosts of a run that lies where it says it was made, and asks this very machine as it did then; else none.

    Whoever could forge that would send a key to nobody but this machine.
    """
    config, urls = run.config, addresses(run.config.model.base_url)
    made_here = run.home is not None and str(run.home) == config.output.dir
    same = run.metadata.get("base_url") == in_one_line(urls)
    return [urlsplit(url).netloc for url in urls] if made_here and same and all(map(_is_loopback, urls)) else []


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def permission(
    model: ModelConfig, keys: Collection[str], known: Mapping[str, set[str | None]], trusted: Collection[str]
) -> Permission:
    """What may go to the saved model's hosts, where the overrides of `keys` and `trusted` hosts are the user's word."""
    urls = addresses(model.base_url)
    limits = [allowed for url in urls if (allowed := _keys_for(url, keys, known, trusted)) is not None]
    common = set.intersection(*map(set, limits)) if limits else set()
    return Permission(in_one_line(urls), tuple(sorted(common, key=str)) if limits else None)


def _keys_for(
    url: str, keys: Collection[str], known: Mapping[str, set[str | None]], trusted: Collection[str]
) -> Collection[str | None] | None:
    """Which keys may go to one address; None: any."""
    # By how the text begins, so that no two readers of addresses can take its host for another one.
    origin = next((origin for origin in known if url == origin or url.startswith(f"{origin}/")), None)
    parts = urlsplit(url)
    if url == EMBEDDED or {parts.netloc, parts.hostname} & set(trusted) or "model.base_url" in keys:
        return None
    if origin is not None:
        return None if "model.api_key_env" in keys else known[origin]
    return (None,) if is_own_server(url) else ()


def refusal(model: ModelConfig, allowed: Permission) -> str | None:
    """What would be sent to whom without the user's word; None where nothing would."""
    if in_one_line(model.base_url) != allowed.base_url or allowed.keys is None or model.api_key_env in allowed.keys:
        return None
    host = ", ".join(_hosts(model))
    if model.api_key_env is None:
        return f"the saved run asks {host}, which is no known provider"
    return f"the saved run sends the key in {model.api_key_env} to {host}, and no provider in conf/model has these two"


def how_to_trust(model: ModelConfig) -> str:
    """The end of the sentence that `refusal` begins."""
    trusting = " ".join(f"--trust-host {host}" for host in _hosts(model))
    return f". If you mean it: {trusting}; else say model=OPTION, model.base_url=… or model.api_key_env=…"


def _hosts(model: ModelConfig) -> list[str]:
    """As one reads them: letters that only look like others are shown as what they are."""
    return [ascii(urlsplit(url).netloc)[1:-1] for url in addresses(model.base_url)]


def refuse_unconfirmed(config: Config, saved: Mapping[str, Any]) -> None:
    """For whoever is about to ask a server, whichever way its configuration was composed. A dry run asks nobody.

    `saved`: `base_url` and `keys` of the Permission.

    Raises:
        ConfigError: a key, or the prompts, would go where the user did not say.
    """
    keys = saved["keys"]
    why = refusal(config.model, Permission(saved["base_url"], None if keys is None else tuple(keys)))
    if why and not (config.dry_run and config.model.name):
        raise ConfigError(f"model.base_url: {why}{how_to_trust(config.model)}")


def refuse_moved(config: Config, folder: Path) -> None:
    """For a run that is to be gone on with, and so taken at its word, although it lies where it was not made.

    Raises:
        ConfigError: it would send a key to an unknown host, write outside of its folder, or run programs unconfined.
    """
    home = local_dir(config.output)
    if home in folder.absolute().parents or home in folder.resolve().parents:
        return
    store = config.output.store
    would = None
    if "/" in config.output.file:
        would = f"it would write {config.output.file}"
    elif is_url(config.output.dir):
        would = f"it would put its results to {config.output.dir}"
    elif store and not is_store(Path(store)):
        would = f"it would make {store}"
    elif config.output.trackers:
        would = f"it would write into your accounts ({', '.join(config.output.trackers)})"
    elif config.runner.sandbox.allow_unsafe:
        would = "it would run programs unconfined"
    would = would or refusal(config.model, permission(config.model, (), known_hosts(), ()))
    if would:
        raise ConfigError(
            f"{folder}: was made below {home} and lies elsewhere, so it may be another user's: {would}"
            ". bon rerun takes it as data and asks you; to go on with a run of your own, move it back"
        )


def refuse_borrowed_identity(model: ModelConfig, keys: Collection[str]) -> None:
    """Answers of one host must not come to stand in the store as those of another.

    Raises:
        ConfigError: the saved run's `model.identity` is the address of another server, or names a model file.
    """
    identity, urls = model.identity or "", addresses(model.base_url)
    own = all(url == identity or url.startswith(f"{identity}/") for url in urls)
    if ("://" in identity and not own) or identity.startswith("sha256:"):
        if {"model.identity", "model.base_url"} & set(keys):
            return
        raise ConfigError(
            f"model.identity: the saved run asks {in_one_line(urls)} and keeps its answers as those of {identity}. "
            f"If you mean it: model.identity={identity}"
        )
