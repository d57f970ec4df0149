"""What benchmarks/results hold, and the lines that the docs' tables make of it."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]


def results(name):
    return json.loads((ROOT / f"benchmarks/results/{name}.json").read_text())
