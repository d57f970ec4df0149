"""The study's table from data to picture, on a city of a few images."""

import json
from dataclasses import replace

import pytest

from study import runner as training
from ablation import Ablation, discriminator_costs, main
from study.runner import Config

ROWS = ("target only", "no adaptation", "light D", "light D + FDA 0.10")


@pytest.fixture
def ablation(config):
    settings = {name: getattr(config, name) for name in Config.__dataclass_fields__}
    return Ablation(training=Config(**{**settings, "evaluate_every": 2}), rows=ROWS)


def test_the_whole_path_and_a_second_seed(ablation, monkeypatch, capsys):
    main(ablation)
    output = ablation.training.output
    first = json.loads((output / "ablation.json").read_text())
    assert list(first["rows"]) == list(ROWS)
    assert (output / "ablation.png").stat().st_size > 10_000
    steps = [each["step"] for each in first["rows"]["light D"]["0"]["evaluations"]]
    assert steps == [2, 4]
    assert "light D + FDA 0.10" in (output / "ablation.md").read_text()

    trained = []
    monkeypatch.setattr(
        training,
        "train",
        lambda *given, train=training.train: trained.append(given[2]) or train(*given),
    )
    capsys.readouterr()
    main(replace(ablation, seeds=(0, 1)))
    assert trained == list(ROWS)  # of the second seed alone
    both = json.loads((output / "ablation.json").read_text())
    assert all(both["rows"][row]["0"] == first["rows"][row]["0"] for row in ROWS)
    assert all(both["rows"][row]["1"] != first["rows"][row]["0"] for row in ROWS)
    assert "±" in (output / "ablation.md").read_text()
    assert "±" in capsys.readouterr().out


@pytest.mark.parametrize("nothing", [{"seeds": ()}, {"rows": ()}])
def test_nothing_to_do_is_refused(nothing):
    with pytest.raises(ValueError, match="expected a seed and a row"):
        Ablation(**nothing)


def test_an_unknown_row_is_refused():
    with pytest.raises(ValueError, match=r"got \['light E'\]"):
        Ablation(rows=("light D", "light E"))


def test_the_discriminators_cost_what_is_published():
    assert discriminator_costs("full", (1024, 2048)) == (2_781_121, 61_756_932_096)
    parameters, multiply_adds = discriminator_costs("light", (1024, 2048))
    assert parameters == 191_364
    assert round(multiply_adds / 1e9, 3) == 4.271
