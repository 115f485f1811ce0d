"""The seed's command: `python scripts/generate_best_of_n.py --config experiments/baseline.yaml --max-queries 200`."""

import sys
from pathlib import Path

from bon_hydra.flat import main

if __name__ == "__main__":
    main(sys.argv[1:], beside=Path(__file__).parent)
