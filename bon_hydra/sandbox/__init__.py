"""Running programs that a model wrote: `pool.Sandboxes` judges them against tests, `probe.probe` says how safely.

Only this package knows the operating system. `inside` is what runs in the sandbox.
"""
