"""Run every benchmark, or the named ones, one after the other, each in a process of its own.

    python benchmarks/run_all.py
    python benchmarks/run_all.py fda import_time

A script that fails is named at the end, and the others run all the same.
"""

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
NAMES = sorted({path.stem for path in FOLDER.glob("*.py")} - {"measuring", "run_all", "runtimes"})


def main(names: list[str]) -> None:
    """Run them, show what each prints, and exit with an error if one failed."""
    if unknown := set(names) - set(NAMES):
        sys.exit(f"expected benchmarks out of {', '.join(NAMES)}, got {', '.join(unknown)}")
    folders = [str(FOLDER.parent / folder) for folder in ("examples", "tests")]
    given = os.environ.get("PYTHONPATH")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*folders, *filter(None, [given])])}
    failed = []
    for name in names or NAMES:
        print(name, flush=True)
        if subprocess.run([sys.executable, f"{FOLDER / name}.py"], env=environment).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main(sys.argv[1:])
