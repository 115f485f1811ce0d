"""A run's requests and judgements on a Ray cluster (`runner=ray`). Nothing outside of this package knows Ray.

The driver, which is the run itself, keeps what must be one: queries, store, budget, the file. Actors ask and judge.
"""
