"""Imported last by the fork server of the tests: what it holds by then is no garbage, and no child need look at it."""

import gc

gc.collect()
gc.freeze()
