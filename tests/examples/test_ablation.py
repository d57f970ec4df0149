"""The study's table from data to picture, on a city of a few images."""

from dataclasses import replace

import pytest

from ablation import Config, main
from evaluation.results import read_results

ROWS = ("target only", "no adaptation", "light D", "light D + FDA 0.10")


def test_the_whole_path_and_a_second_seed(config, capsys):
    ablation = Config(config, rows=ROWS, evaluate_every=2)
    main(ablation)
    output = config.output
    first = read_results(output / "results.json")
    assert list(first) == list(ROWS)
    assert (output / "comparison.png").stat().st_size > 10_000
    steps = [each["step"] for each in first["light D"][0]["evaluations"]]
    assert steps == [2, 4]
    text = (output / "results.md").read_text()
    assert "light D + FDA 0.10" in text
    assert "oracle best" in text

    finished = {path: path.stat().st_mtime_ns for path in output.glob("seed-0/checkpoints/*")}
    assert len(finished) == len(ROWS)
    capsys.readouterr()
    main(replace(ablation, seeds=(0, 1)))
    trained = [path.stem for path in output.glob("seed-1/checkpoints/*.pt")]
    assert len(trained) == len(ROWS)  # of the second seed alone
    assert finished == {path: path.stat().st_mtime_ns for path in finished}
    both = read_results(output / "results.json")
    assert all(both[row][0] == first[row][0] for row in ROWS)
    assert all(both[row][1] != first[row][0] for row in ROWS)
    assert "±" in (output / "results.md").read_text()
    assert "±" in capsys.readouterr().out


@pytest.mark.parametrize("nothing", [{"seeds": ()}, {"rows": ()}, {"evaluate_every": -1}], ids=str)
def test_nothing_to_do_is_refused(nothing):
    with pytest.raises(ValueError, match="expected a seed, a row and at least 0 steps"):
        Config(**nothing)


def test_an_unknown_row_is_refused():
    with pytest.raises(ValueError, match=r"got \['light E'\]"):
        Config(rows=("light D", "light E"))
