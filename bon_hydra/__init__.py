"""Best-of-N experiments: N candidates a query from a language model, each verified, all kept in one parquet file."""

__version__ = "0.1.0"
