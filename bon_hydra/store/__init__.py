"""The candidate store: what arrived stays. One SQLite file that any number of runs and processes share.

`file` opens it, `transactions` is the thread that alone touches it, `sittings` tells which processes still live,
`candidates` is what a run sees of it, `ledger` what was spent; `contents`, `prune` and `merge` are `bon store`.
"""

from bon_hydra.store.candidates import CandidateStore, Stored
from bon_hydra.store.transactions import StoreFailed

__all__ = ["CandidateStore", "StoreFailed", "Stored"]
