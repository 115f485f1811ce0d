"""Best-of-N experiments: sample N candidates a query from a language model, verify each, keep them as one parquet file."""

__version__ = "0.1.0"
