"""A finished row comes back as it was, for its own settings alone; one results.json for all."""

import json
from dataclasses import dataclass, field, replace

import pytest
import torch
from rich.console import Console

from data_tools.description import CITYSCAPES, Class
from evaluation.results import (
    Evaluation,
    Result,
    iou_table,
    load_or_train,
    read_results,
    write_results,
)
from files import folder_lock
from gta2city import Row
from self_training import control_step
from training.config import TrainingConfig
from uda_seg.models import BiSeNet
from uda_seg.transforms import FDA


@pytest.fixture
def config(tmp_path):
    return TrainingConfig(output=tmp_path / "run", backbone="test_resnet")


def result():
    network = BiSeNet(19, "test_resnet", pretrained_backbone=False)
    looks = Evaluation(1, 0.25, {"certainty": 0.5}), Evaluation(2, 0.5, {"certainty": 0.75})
    return Result(network, torch.randint(9, (19, 19)), 1.25, looks)


def test_a_row_comes_back_as_it_was_without_a_training(fabric, config):
    given, trained = result(), []

    def train(name, row, _):
        trained.append((name, row))
        return given

    rows = {"the row": Row(control_step, FDA(0.1))}
    assert load_or_train(fabric, config, rows, train, CITYSCAPES) == {"the row": given}
    assert trained == [*rows.items()]
    found = load_or_train(fabric, config, rows, train, CITYSCAPES)["the row"]
    assert len(trained) == 1
    states = found.network.state_dict(), given.network.state_dict()
    torch.testing.assert_close(*states, rtol=0, atol=0)
    assert torch.equal(found.confusion, given.confusion)
    assert (found.seconds, found.evaluations, found.miou) == (*given[2:], given.miou)
    hub = BiSeNet.from_pretrained(config.output / "the-row").state_dict()
    torch.testing.assert_close(hub, given.network.state_dict(), rtol=0, atol=0)


def test_a_row_of_other_settings_is_refused_by_their_names(fabric, config):
    load_or_train(fabric, config, {"row": Row(control_step)}, lambda *_: result(), CITYSCAPES)
    for changed, row, named in (
        (replace(config, seed=2), Row(control_step), "seed at its default instead of 2"),
        (config, Row(), r"row\.step\.function control_step instead of its default"),
        (
            config,
            Row(control_step, FDA(0.1)),
            r"row\.style\.function at its default instead of FDA",
        ),
    ):
        with pytest.raises(FileExistsError, match=named):
            load_or_train(fabric, changed, {"row": row}, None, CITYSCAPES)


@dataclass(frozen=True)
class LaterConfig(TrainingConfig):
    """One that has got a setting more."""

    new: int = 3


@dataclass(frozen=True)
class LaterRow(Row):
    more: tuple[str, ...] = ()


def test_a_new_setting_at_its_default_invalidates_no_row_and_a_changed_one_is_named(fabric, config):
    load_or_train(fabric, config, {"row": Row(control_step)}, lambda *_: result(), CITYSCAPES)
    later = LaterConfig(output=config.output, backbone=config.backbone)
    assert (
        load_or_train(fabric, later, {"row": LaterRow(control_step)}, None, CITYSCAPES)[
            "row"
        ].seconds
        == 1.25
    )
    with pytest.raises(FileExistsError, match="with new at its default instead of 4; take"):
        load_or_train(
            fabric, replace(later, new=4), {"row": LaterRow(control_step)}, None, CITYSCAPES
        )
    with pytest.raises(FileExistsError, match=r"with row\.more at its default instead of \['a'\];"):
        load_or_train(fabric, later, {"row": LaterRow(control_step, more=("a",))}, None, CITYSCAPES)


def test_rows_before_a_stop_are_kept_and_nothing_half_of_the_others(fabric, config):
    def train(name, *_):
        if name == "second":
            raise KeyboardInterrupt
        return result()

    rows = {"first": Row(), "second": Row()}
    with pytest.raises(KeyboardInterrupt):
        load_or_train(fabric, config, rows, train, CITYSCAPES)
    assert {path.name for path in config.output.iterdir()} == {"first", "run.lock"}


def test_a_folder_of_something_else_is_refused(fabric, config):
    (config.output / "row").mkdir(parents=True)
    with pytest.raises(FileExistsError, match=r"hold a result\.json"):
        load_or_train(fabric, config, {"row": Row()}, None, CITYSCAPES)


def manifest(config, name="row"):
    return config.output / name / "result.json"


SETTINGS = object()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1]",
        b"3",
        b"null",
        '{"a": "\u00e4"}'.encode("utf-16"),
        {},
        {"settings": []},
        {"settings": SETTINGS},
        {"settings": SETTINGS, "score": 5},
        {"settings": SETTINGS, "score": {"confusion": [[1]], "seconds": 1, "evaluations": []}},
        {"settings": SETTINGS, "score": {"confusion": "a", "seconds": 1, "evaluations": []}},
        {"settings": SETTINGS, "score": {"confusion": [], "seconds": 1, "evaluations": [[1]]}},
        {"settings": SETTINGS, "score": {"confusion": [[1], []], "seconds": 1, "evaluations": []}},
    ],
)
def test_a_broken_result_is_named_before_anything_is_trained(fabric, config, content):
    load_or_train(fabric, config, {"row": Row()}, lambda *_: result(), CITYSCAPES)
    if isinstance(content, dict):
        settings = json.loads(manifest(config).read_text())["settings"]
        content = {k: settings if v is SETTINGS else v for k, v in content.items()}
        content = json.dumps(content).encode()
    manifest(config).write_bytes(content)
    with pytest.raises((ValueError, OSError), match=rf"{manifest(config)}"):
        load_or_train(fabric, config, {"new": Row(), "row": Row()}, None, CITYSCAPES)


@pytest.mark.parametrize("fault", ["flipped bit", "NaN", "broken config", "no weights"])
def test_a_damaged_network_is_named_before_anything_is_trained(fabric, config, fault):
    load_or_train(fabric, config, {"row": Row()}, lambda *_: result(), CITYSCAPES)
    weights = config.output / "row" / "model.safetensors"
    match fault:
        case "flipped bit":
            content = bytearray(weights.read_bytes())
            content[len(content) // 2] ^= 1
            weights.write_bytes(content)
        case "NaN":
            network = BiSeNet.from_pretrained(config.output / "row")
            network.head.classify.bias.data[0] = torch.nan
            network.save_pretrained(config.output / "row")
        case "broken config":
            (config.output / "row" / "config.json").write_text("[")
        case "no weights":
            weights.unlink()
    with pytest.raises((ValueError, OSError), match=rf"{config.output / 'row'}"):
        load_or_train(fabric, config, {"new": Row(), "row": Row()}, None, CITYSCAPES)


def test_rows_keep_their_order_whichever_were_there(fabric, config):
    load_or_train(fabric, config, {"second": Row()}, lambda *_: result(), CITYSCAPES)
    rows = dict.fromkeys(("first", "second", "third"), Row())
    assert [*load_or_train(fabric, config, rows, lambda *_: result(), CITYSCAPES)] == [*rows]


def test_a_row_of_other_classes_is_refused(fabric, config):
    load_or_train(fabric, config, {"row": Row()}, lambda *_: result(), CITYSCAPES)
    own = tuple(Class(f"own {each}", (each, 0, 0)) for each in range(19))
    with pytest.raises(ValueError, match=r"19 classes own 0, .* got one of 19, road, .*row"):
        load_or_train(fabric, config, {"row": Row()}, None, own)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"rows": 3}', b'{"rows": {"a": {"x": {}}}}'])
def test_broken_results_are_named(tmp_path, content):
    (tmp_path / "results.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"expected {tmp_path / 'results.json'} to be"):
        read_results(tmp_path / "results.json")


def test_another_run_in_the_same_output_is_refused(fabric, config):
    with folder_lock(config.output), pytest.raises(BlockingIOError, match="no other run"):
        load_or_train(fabric, config, {"row": Row()}, lambda *_: result(), CITYSCAPES)


@dataclass(frozen=True)
class Config:
    training: TrainingConfig = field(default_factory=TrainingConfig)
    beta: float = 0.3


def test_figures_are_shares_by_row_and_seed(config, tmp_path):
    confusion = torch.zeros(19, 19, dtype=torch.int64)
    confusion[0, :2], confusion[1, 1] = torch.tensor([6, 2]), 4
    one = result()._replace(confusion=confusion)
    file = tmp_path / "new" / "results.json"
    write_results(
        file, Config(config), {"row": {0: one, 3: one}, "other": {0: one}}, CITYSCAPES, more=1
    )
    content = json.loads(file.read_text())
    assert list(content) == ["config", "environment", "more", "rows"]
    assert content["config"]["beta"] == 0.3
    assert content["config"]["training"]["backbone"] == "test_resnet"
    assert content["environment"]
    rows = read_results(file)
    assert {name: [*seeds] for name, seeds in rows.items()} == {"row": [0, 3], "other": [0]}
    figures = rows["row"][3]
    assert figures["mIoU"] == pytest.approx((6 / 8 + 4 / 6) / 2)
    assert figures["pixel_accuracy"] == pytest.approx(10 / 12)
    assert figures["IoU"]["road"] == pytest.approx(6 / 8)
    assert figures["IoU"]["bicycle"] is None
    assert figures["training_seconds"] == 1.25
    assert figures["evaluations"][1] == {"step": 2, "miou": 0.5, "criteria": {"certainty": 0.75}}


def test_the_table_has_a_column_for_each_network_and_a_dash_where_nothing_is():
    confusion = torch.zeros(19, 19, dtype=torch.int64)
    confusion[0, :2], confusion[1, 1] = torch.tensor([6, 2]), 4
    one = Result(None, confusion, 0.0)
    console = Console(width=120)
    with console.capture() as captured:
        console.print(iou_table({"first": one, "second": one}, CITYSCAPES))
    lines = {
        words[0]: words[1:]
        for line in captured.get().splitlines()
        if (words := line.translate(str.maketrans("│┃", "  ")).split())
    }
    assert lines["class"] == ["first", "second"]
    assert lines["road"] == ["75.0", "75.0"]
    assert lines["bicycle"] == ["-", "-"]
    assert lines["mIoU"] == ["70.8", "70.8"]
    assert lines["pixel"] == ["accuracy", "83.3", "83.3"]
