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
    """The question, a text."""
    messages: str | None = None
    """In its place: the chat so far, a list of `{role, content}`."""
    reference: str | None = None
    """The right answer, or what the verifier holds an answer against."""
    id: str | None = None
    """The row's own name, kept as `source_id`."""
    tools: str | None = None
    """The functions that may be called, in OpenAI's form."""
    split: str | None = None
    """The column that says which split a row is of, where the data set has none of its own."""


@dataclass
class SourcesConfig:
    """Local stand-ins for the sources that Nemotron's code split is joined from."""

    taco: str | None = None
    """A local copy of BAAI/TACO; null reads it from the Hub, as for the others."""
    apps: str | None = None
    """Of codeparrot/apps."""
    code_contests: str | None = None
    """Of deepmind/code_contests."""
    codeforces: str | None = None
    """Of open-r1/codeforces."""


@dataclass
class DatasetConfig:
    """Where queries come from; `path`, `name`, `data_files`, `revision`, `streaming` as in `datasets.load_dataset`."""

    path: str = MISSING
    """A name on the Hub, a local folder in its layout, or a reader's name (`json`, `parquet`, `csv`)."""
    name: str | None = None
    """The data set's configuration, where it has several."""
    data_files: Any = None
    """A path, a list of paths, or split: path(s)."""
    revision: str | None = None
    """A commit, tag or branch on the Hub; a run saves the commit that it read."""
    streaming: bool = True
    """Rows are read as they are needed; false downloads the data set first."""
    splits: list[str] | None = None
    """Which splits are read, in this order; null for all."""
    format: str = "columns"
    """How a row becomes a query: `columns`, or the name of a data set's own format."""
    columns: ColumnsConfig = field(default_factory=ColumnsConfig)
    """Which column holds what, for `format=columns`."""
    keep: list[str] = field(default_factory=list)
    """Columns carried into `source_meta`."""
    verifier: Any = None
    """One name, or split: name; null is the format's default."""
    sources: SourcesConfig = field(default_factory=SourcesConfig)
    """Local copies of the sets that Nemotron's code split is joined from."""
    shard: str | None = None
    """`i/k`: the i-th query of every k, so that k runs share the work; `bon merge` joins them. Null for all."""
    shuffle_seed: int | None = None
    """Draws a sample of the whole instead of its head; null takes the first rows."""
    dedupe: bool = True
    """Equal questions (messages and tools) are asked once."""


@dataclass
class PromptConfig:
    """How a query becomes messages. Each is one value, or a map keyed by split, verifier or `default`."""

    system: Any = None
    """The system message."""
    template: Any = None
    """The user's message in Jinja2, over `question` and the row's columns."""
    examples: Any = None
    """Worked examples before the question, a list of `{user, assistant}`."""


@dataclass
class PricesConfig:
    """USD per million tokens; null where unknown."""

    input: float | None = None
    """Of a prompt."""
    output: float | None = None
    """Of an answer, its reasoning included."""
    cached_input: float | None = None
    """Of the part of a prompt that the server had in its cache."""


@dataclass
class ModelConfig:
    """Who answers."""

    name: str | None = MISSING
    """As the server knows it; null takes the only one that it lists."""
    base_url: Any = MISSING
    """An OpenAI-compatible endpoint, a list of them that serve the same model, or `embedded`."""
    api_key_env: str | None = None
    """The NAME of the environment variable that holds the key."""
    identity: str | None = None
    """What answers are kept under in place of the address: one name for all servers of the same weights."""
    requests_per_minute: float | None = None
    """An upper bound, shared by a sweep's jobs; below it the pace follows the server. Null for none."""
    tokens_per_minute: float | None = None
    """The same for tokens, of prompts and answers."""
    timeout_s: float = 600.0
    """Seconds until a request without a whole answer is given up and sent again."""
    max_retries: int = 8
    """How often a candidate is asked for again after the first failure."""
    choices_per_request: Any = "auto"
    """Candidates in one request by `n=`: a number, or `auto`, which tries once and falls back to 1."""
    max_tokens_field: str = "auto"
    """What a request calls its limit: `max_tokens`, `max_completion_tokens`, or `auto`, which learns it."""
    send_seed: bool = True
    """Whether requests carry a candidate's own seed, where `seed` is set."""
    extra_body: Any = None
    """A map of whatever else goes into a request's body."""
    prices: PricesConfig = field(default_factory=PricesConfig)
    """Over those of genai-prices, for what it does not know or you pay otherwise."""
    gguf: str | None = None
    """The embedded model's file; null takes SmolLM2, which comes by pip."""


@dataclass
class OutputConfig:
    """Where a run leaves what."""

    dir: str = "outputs"
    """Where dated folders, `latest` and the store are; a URL (`s3://…`) gets finished runs, which work in `outputs`."""
    file: str = "{experiment}_{model}_n{num_candidates}_t{temperature}.parquet"
    """The parquet file's name in the run folder, with {placeholders}; with a / in it, its path from here."""
    store: str | None = "${output.dir}/store.sqlite"
    """The SQLite file that keeps every answer for ever; null keeps it in the run folder until the run is complete."""
    trackers: list[str] = field(default_factory=list)
    """Where configuration, figures and parquet go besides: `mlflow`, `wandb`; each is an extra to install."""


@dataclass
class SandboxConfig:
    """Limits of the sandbox that runs code a model wrote."""

    level: str = "auto"
    """`namespaces`, `landlock`, or `auto`: the strongest that works here."""
    allow_unsafe: bool = False
    """Runs programs unconfined where no level works, which is refused otherwise."""
    cpu_s: float = 5.0
    """Seconds of CPU for one test of a program."""
    memory_mb: int = 1024
    """Memory of a program, MiB."""


@dataclass
class RunnerConfig:
    """What runs the experiment."""

    name: str = "local"
    """`local`: this machine; `ray`: a cluster."""
    workers: int | None = None
    """Verification processes; null is one a core, here at most 8. With `ray` so many on each node."""
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)
    """How code that a model wrote is confined."""
    address: str | None = None
    """Of a Ray cluster that is there, `host:port` or `auto`; null starts one here."""


@dataclass
class Config:
    """A whole run."""

    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    """Where queries come from."""
    prompt: PromptConfig = field(default_factory=PromptConfig)
    """How a query becomes messages."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Who answers."""
    output: OutputConfig = field(default_factory=OutputConfig)
    """Where a run leaves what."""
    runner: RunnerConfig = field(default_factory=RunnerConfig)
    """What runs the experiment."""

    num_candidates: int = 4
    """N: candidates of each query."""
    temperature: float | None = 0.7
    """Null is not sent."""
    top_p: float | None = None
    """Nucleus sampling; null is not sent."""
    max_tokens: int | None = 2048
    """Of an answer, its reasoning included; null is not sent."""
    seed: int | None = None
    """Each candidate's own seed follows from it, the query and the index; null sends none."""
    reasoning_effort: str | None = None
    """What reasoning models take: `low`, `medium`, `high`; null is not sent."""
    stop: list[str] | None = None
    """Texts that end an answer."""

    max_queries: int | None = 100
    """Of each split, at the most; null for all."""
    splits: Any = None
    """Overrides `dataset.splits`: `splits=[math,code]`."""
    concurrency: int = 10
    """Requests in flight at once."""
    notes: str = ""
    """What you test and why; kept in the results."""
    budget_usd: float | None = None
    """A hard cap for all that this run may cost, over all its sittings; null for none."""
    dry_run: bool = False
    """Prints what would be asked and what it may cost; asks nothing, leaves nothing."""
    experiment_name: str | None = None
    """Names the run's folder and file; null takes the experiment's, or the name after -cn."""
