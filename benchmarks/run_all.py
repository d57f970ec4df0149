"""Run all benchmarks, or the named ones, one after the other, each in its own process.

    python benchmarks/run_all.py
    python benchmarks/run_all.py fda import_time

If a script fails, the others still run. The failed scripts are named at the end.
"""

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
NAMES = sorted({path.stem for path in FOLDER.glob("*.py")} - {"measuring", "run_all", "runtimes"})


def main(names: list[str]) -> None:
    """Run the benchmarks and show their output. Exit with an error if one failed."""
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
