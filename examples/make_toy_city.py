"""Draw the toy city, two data sets to try adaptation on where there are no others.

    python examples/make_toy_city.py --output data/toy-city

writes a synthetic source, ``data/toy-city/gta5``, and a target that a camera seems to have taken,
``data/toy-city/cityscapes``, in the on-disk formats of GTA5 and Cityscapes.
"""

from functools import wraps
from typing import Any

from command_line import run_script
from toy_city import write_toy_city


@wraps(write_toy_city)
def main(**settings: Any) -> None:  # noqa: D103 (the docstring and flags are write_toy_city's)
    city = write_toy_city(**settings)
    print(f"see {city.source_root} and {city.target_root}")


if __name__ == "__main__":
    run_script(main)
