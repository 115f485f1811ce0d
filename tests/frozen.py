"""Imported last by the fork server of the tests: a configuration was composed once, so grammars and classes are known.

What it holds by then is no garbage, and no child need look at it.
"""

import gc

from hydra import compose, initialize_config_dir

import bon_hydra.__main__  # noqa: F401 - it registers the schema
from bon_hydra.checks import check
from bon_hydra.options import CONF

with initialize_config_dir(str(CONF), version_base="1.3"):
    check(compose("config", overrides=["experiment=baseline", "model=vllm", "model.name=m", "notes='a, b'"]))
gc.collect()
gc.freeze()
