"""Best-of-N experiments: N candidates a query from a language model, each verified, all kept in one parquet file.

from bon_hydra import compare, load_run, pass_at_k, run_experiment
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bon_hydra.notebook import LoadedRun, compare, load_run, pass_at_k, run_experiment

__version__ = "0.1.0"
__all__ = ["LoadedRun", "__version__", "compare", "load_run", "pass_at_k", "run_experiment"]


def __getattr__(name: str) -> Any:
    """What notebooks use is imported when it is asked for: the command line starts without it."""
    if name in __all__:
        from bon_hydra import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
