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
NOT_BENCHMARKS = {"measuring", "run_all"}
ARGUMENTS = {"data_loading": ["reading", "waiting"]}  # one run each
NAMES = sorted({path.stem for path in FOLDER.glob("*.py")} - NOT_BENCHMARKS)


def main(names: list[str]) -> None:
    """Run them, show what each prints, and exit with an error if one failed."""
    if unknown := set(names) - set(NAMES):
        sys.exit(f"expected benchmarks out of {', '.join(NAMES)}, got {', '.join(unknown)}")
    folders = [str(FOLDER.parent / folder) for folder in ("examples", "tests")]
    given = os.environ.get("PYTHONPATH")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*folders, *filter(None, [given])])}
    failed = []
    for name in names or NAMES:
        for argument in ARGUMENTS.get(name, [""]):
            command = [sys.executable, f"{FOLDER / name}.py", *filter(None, [argument])]
            print(f"{name} {argument}".rstrip(), flush=True)
            if subprocess.run(command, env=environment).returncode:
                failed.append(f"{name} {argument}".rstrip())
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main(sys.argv[1:])
