"""The seed's command: `python scripts/inspect_experiment.py FILE…` is `bon inspect FILE…`."""

import sys

from bon_hydra.cli import main

if __name__ == "__main__":
    main(["inspect", *sys.argv[1:]])
