"""`resolved.yaml` says what was run: whatever texts it holds, it reads back as the same configuration."""

from __future__ import annotations

from typing import Any

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from bon_hydra.checks import check
from bon_hydra.saved import resolved_yaml
from bon_hydra.schema import (
    ColumnsConfig,
    Config,
    DatasetConfig,
    ModelConfig,
    OutputConfig,
    PricesConfig,
    PromptConfig,
    RunnerConfig,
    SandboxConfig,
)

ODD = [
    *["${", "${x}", "${oc.env:HOME}", "\\${x}", "\\\\${x}", "\\\\\\${x}", "$", "{", "}", "$${x}", "${${x}}", "${x}\\"],
    *[
        "'",
        '"',
        "''",
        '"""',
        "\n",
        "\r\n",
        "\t",
        "\x85",
        "\u2028",
        "\ufeff",
        "\x00",
        "\x1b",
        "ünïcode 例 🙂",
        "\\",
        "\\n",
    ],
    *["null", "~", "true", "No", "1", "1e5", "1E-3", "0x1f", "0o7", "1_000", "12:30:45", "2026-11-23", ".inf", ".nan"],
    *[
        "",
        " ",
        "- a",
        "a: b",
        "a #b",
        "# a",
        "[a",
        "{a: b}",
        "&a",
        "*a",
        "!a",
        "|",
        ">",
        "%",
        "@",
        "`",
        "=",
        "<<",
        "---",
    ],
]
texts = st.one_of(
    st.sampled_from(ODD),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.lists(st.sampled_from(ODD), min_size=2, max_size=6).map("".join),
    st.text("\\${}'\"\n a.:", max_size=16),
).filter(lambda text: text != "???")  # OmegaConf's own word for a value that is missing
maybe = st.none() | texts
numbers = st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False)
leaves = st.none() | st.booleans() | numbers | texts
names = st.text("abc_.-$ {}\\'\"", min_size=1, max_size=8) | st.sampled_from(
    ["temperature_", "yes", "1", "null", "a.b"]
)
values = st.recursive(leaves, lambda v: st.lists(v, max_size=3) | st.dictionaries(names, v, max_size=3), max_leaves=6)
examples = st.lists(st.fixed_dictionaries({"user": texts, "assistant": texts}), max_size=3)
splits = st.none() | st.lists(st.text("abc_", min_size=1, max_size=5), min_size=1, max_size=3, unique=True)
positive = st.floats(1e-6, 1e9)


def by_split(value: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | value | st.dictionaries(st.sampled_from(["math", "code", "default"]), value, max_size=3)


configs = st.builds(
    Config,
    dataset=st.builds(
        DatasetConfig,
        path=texts,
        name=maybe,
        data_files=maybe | st.lists(texts, max_size=2) | st.dictionaries(names, texts, max_size=2),
        revision=maybe,
        streaming=st.booleans(),
        splits=splits,
        format=st.sampled_from(["columns", "nemotron", "gsm8k"]),
        columns=st.builds(ColumnsConfig, prompt=maybe, reference=maybe),
        keep=st.lists(texts, max_size=3),
        verifier=by_split(texts),
        shuffle_seed=st.none() | st.integers(0, 2**62),
        dedupe=st.booleans(),
    ),
    prompt=st.builds(PromptConfig, system=by_split(texts), template=by_split(texts), examples=by_split(examples)),
    model=st.builds(
        ModelConfig,
        name=maybe,
        base_url=st.sampled_from(["embedded", "http://localhost:8000/v1", "https://h/v1?x=$y"]),
        api_key_env=st.none() | st.just("MY_KEY"),
        identity=maybe,
        requests_per_minute=st.none() | positive,
        timeout_s=positive,
        extra_body=st.dictionaries(names, values, max_size=3),
        prices=st.builds(PricesConfig, input=st.none() | st.floats(0, 1e6), output=st.none() | st.floats(0, 1e6)),
        gguf=maybe,
    ),
    output=st.builds(
        OutputConfig, dir=texts, file=texts, store=maybe, trackers=st.just([]) | st.just(["mlflow", "wandb"])
    ),
    runner=st.builds(RunnerConfig, workers=st.none() | st.integers(1, 64), sandbox=st.just(SandboxConfig())),
    num_candidates=st.integers(1, 1000),
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0.01, 1),
    max_tokens=st.integers(1, 10**6),
    seed=st.none() | st.integers(0, 2**62),
    reasoning_effort=maybe,
    stop=st.none() | st.lists(texts, max_size=3),
    max_queries=st.none() | st.integers(1, 10**6),
    splits=splits,
    notes=texts,
    budget_usd=st.none() | positive,
    experiment_name=maybe,
)


def loaded(text: str) -> Config:
    """As Hydra does it: the file's own keys onto the schema; the defaults list is Hydra's alone."""
    content: Any = OmegaConf.create(text)
    assert OmegaConf.to_container(content.pop("defaults")) == ["base_config", {"hydra": "default"}, "_self_"]
    composed = OmegaConf.merge(OmegaConf.structured(Config), content)
    return check(composed)  # type: ignore[arg-type]


@settings(max_examples=20)
@given(configs)
def test_a_saved_configuration_reads_back_as_it_was(config: Config) -> None:
    """Every value of every key, and a second time the same text."""
    text = resolved_yaml(config)
    assert loaded(text) == config
    assert resolved_yaml(loaded(text)) == text


@pytest.mark.parametrize("text", ODD)
def test_texts_that_yaml_or_omegaconf_would_read_otherwise_stay_as_they_are(text: str) -> None:
    """Wherever a text may stand: in notes, a system prompt, a list, a map of extra_body and as the name of a key."""
    config = Config(notes=text, stop=[text, text + "x"])
    config.dataset.path, config.model.name, config.model.base_url = text, text, "embedded"
    config.prompt.system = {"math": text}
    config.model.extra_body = {"a": {"b": [text]}}
    assert loaded(resolved_yaml(config)) == config


def test_the_header_is_what_makes_the_file_run() -> None:
    """The schema by name, Hydra's own settings, then this; its first lines say how, under the name it is saved by."""
    config = Config()
    config.dataset.path, config.model.name, config.model.base_url = "p", "m", "embedded"
    text = resolved_yaml(config, "other")
    assert "-cn other " in text
    assert yaml.safe_load(text)["defaults"] == ["base_config", {"hydra": "default"}, "_self_"]
    assert "hydra:" not in text.split("_self_")[1]
    assert yaml.safe_load(text)["output"]["dir"] == "outputs"
