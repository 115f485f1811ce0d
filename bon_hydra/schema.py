"""The one schema of a run's configuration: its keys, their types and defaults, and the error a wrong one raises.

Hydra composes YAML files on top of these dataclasses, which refuses wrong types and misspelt keys; what
types cannot say (ranges, choices, combinations) is in `checks`. Defaults stand here where a key has no
group of its own; the group's files in `conf/` give the rest. This module imports nothing of the project.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MISSING: Any = "???"
"""OmegaConf's own sign of a value still to be given, spelt out: `bon` starts quicker without OmegaConf."""

EMBEDDED = "embedded"
"""`model.base_url` of the language model that runs here, in a process of its own."""


def addresses(base_url: Any) -> list[str]:
    """The endpoints of `model.base_url`, which is one or a list of them."""
    return [str(url) for url in base_url] if isinstance(base_url, list | tuple) else [str(base_url)]


def in_one_line(base_url: Any) -> str:
    """The endpoints of `model.base_url` for a reader, and as a run's metadata has them."""
    return ", ".join(addresses(base_url))


class ConfigError(Exception):
    """The configuration or the call is wrong; the message is for the user and complete (exit code 2)."""


@dataclass
class ColumnsConfig:
    """Which columns of a row hold what, for `dataset.format=columns`."""

    prompt: str | None = None
    messages: str | None = None
    reference: str | None = None
    id: str | None = None
    tools: str | None = None
    split: str | None = None


@dataclass
class SourcesConfig:
    """Local stand-ins for the sources that Nemotron's code split is joined from."""

    taco: str | None = None
    apps: str | None = None
    code_contests: str | None = None
    codeforces: str | None = None


@dataclass
class DatasetConfig:
    """Where queries come from; `path`, `name`, `data_files`, `revision`, `streaming` as in `datasets.load_dataset`."""

    path: str = MISSING
    name: str | None = None
    data_files: Any = None
    """A path, a list of paths, or split: path(s)."""
    revision: str | None = None
    streaming: bool = True
    splits: list[str] | None = None
    format: str = "columns"
    columns: ColumnsConfig = field(default_factory=ColumnsConfig)
    keep: list[str] = field(default_factory=list)
    """Columns carried into `source_meta`."""
    verifier: Any = None
    """One name, or split: name; None is the format's default."""
    sources: SourcesConfig = field(default_factory=SourcesConfig)
    shuffle_seed: int | None = None
    dedupe: bool = True


@dataclass
class PromptConfig:
    """How a query becomes messages. Each is one value, or a map keyed by split, verifier or `default`."""

    system: Any = None
    template: Any = None
    examples: Any = None


@dataclass
class PricesConfig:
    """USD per million tokens; null where unknown."""

    input: float | None = None
    output: float | None = None
    cached_input: float | None = None


@dataclass
class ModelConfig:
    """Who answers."""

    name: str | None = MISSING
    base_url: Any = MISSING
    """An OpenAI-compatible endpoint, a list of them that serve the same model, or `embedded`."""
    api_key_env: str | None = None
    """The NAME of the environment variable that holds the key."""
    identity: str | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    timeout_s: float = 600.0
    max_retries: int = 8
    choices_per_request: Any = "auto"
    max_tokens_field: str = "auto"
    send_seed: bool = True
    extra_body: Any = None
    """A map of whatever else goes into a request's body."""
    prices: PricesConfig = field(default_factory=PricesConfig)
    gguf: str | None = None


@dataclass
class OutputConfig:
    """Where a run leaves what."""

    dir: str = "outputs"
    file: str = "{experiment}_{model}_n{num_candidates}_t{temperature}.parquet"
    store: str | None = "${output.dir}/store.sqlite"
    trackers: list[str] = field(default_factory=list)


@dataclass
class SandboxConfig:
    """Limits of the sandbox that runs code a model wrote."""

    level: str = "auto"
    allow_unsafe: bool = False
    cpu_s: float = 5.0
    memory_mb: int = 1024


@dataclass
class RunnerConfig:
    """What runs the experiment."""

    name: str = "local"
    workers: int | None = None
    """Verification processes; null is one a core, at most 8."""
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)
    address: str | None = None


@dataclass
class Config:
    """A whole run."""

    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    runner: RunnerConfig = field(default_factory=RunnerConfig)

    num_candidates: int = 4
    temperature: float | None = 0.7
    top_p: float | None = None
    max_tokens: int | None = 2048
    seed: int | None = None
    reasoning_effort: str | None = None
    stop: list[str] | None = None

    max_queries: int | None = 100
    splits: Any = None
    concurrency: int = 10
    notes: str = ""
    budget_usd: float | None = None
    dry_run: bool = False
    experiment_name: str | None = None
