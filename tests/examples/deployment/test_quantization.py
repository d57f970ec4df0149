"""Files in eight bits against those in float that they come from."""

import json

import numpy as np
import onnx
import pytest
import torch

from deployment.model import ExportModel
from deployment.onnx_file import write_onnx
from deployment.quantization import Verdict, time_in_turns, write_int8
from deployment.runtime import ExportedNetwork
from uda_seg.models import BiSeNet


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    torch.manual_seed(0)
    network = BiSeNet(5, "test_resnet", pretrained_backbone=False)
    network(torch.randn(4, 3, 64, 64))  # moves the statistics
    write_onnx(ExportModel(network.eval()), folder / "float.onnx", classes=[*"abcde"])
    feeds = [{"images": torch.rand(1, 3, 64, 96).numpy()} for _ in range(4)]
    write_int8(folder / "float.onnx", folder / "int8.onnx", feeds)
    return folder / "float.onnx", folder / "int8.onnx"


def test_weights_take_a_third_and_logits_stay_near(files):
    in_float, in_int8 = map(ExportedNetwork, files)
    assert files[1].stat().st_size < files[0].stat().st_size / 2.5
    images = torch.rand(3, 3, 97, 131)  # another batch and size than those of the ranges
    logits, rounded = (each.session.run(None, each.feed(images))[0] for each in (in_float, in_int8))
    assert rounded.dtype == np.float32
    error = np.square(rounded - logits).mean() / np.square(logits - logits.mean()).mean()
    assert 0 < error < 0.01


def test_the_classifier_and_the_last_up_sampling_stay_in_float(files):
    graph = onnx.load(files[1]).graph
    made_by = {output: node for node in graph.node for output in node.output}
    nodes = [node for node in graph.node if node.op_type in ("Conv", "Resize")]
    last = [
        next(node for node in nodes[::-1] if node.op_type == kind) for kind in ("Conv", "Resize")
    ]
    of_weights = {made_by[node.input[1]].op_type for node in nodes[:-1] if node.input[1] in made_by}
    assert "DequantizeLinear" in of_weights
    assert last[0].input[1] not in made_by
    assert made_by[last[1].input[0]] is last[0]


def test_the_metadata_stay(files):
    in_float, in_int8 = (
        each.session.get_modelmeta().custom_metadata_map for each in map(ExportedNetwork, files)
    )
    assert in_int8 == in_float | {"precision": "int8"}


MIOU, TIMES = {"float": 40.0, "int8": 39.6}, {"float": 20.0, "int8": 10.0}


@pytest.mark.parametrize(
    ("miou", "times", "problems"),
    [
        (MIOU, TIMES, []),
        (MIOU | {"int8": 41.0}, TIMES, []),
        (MIOU, TIMES | {"int8": 20.0}, ["int8 is slower here: 20.0 ms per image, float 20.0"]),
        (MIOU | {"int8": 39.4}, TIMES, ["int8 is worse: it loses 0.6 points of mIoU"]),
        (dict.fromkeys(MIOU, np.nan), TIMES, []),
    ],
)
def test_a_verdict_says_what_speaks_against_the_file(tmp_path, miou, times, problems):
    verdict = Verdict(9, (64, 96), 0.9875, miou, times)
    assert verdict.problems == problems
    verdict.write(tmp_path / "verdict.json")
    read = json.loads((tmp_path / "verdict.json").read_text())
    assert read["problems"] == problems
    assert read["milliseconds"] == times
    labelled = not np.isnan(miou["float"])
    assert read["miou"] == (miou if labelled else dict.fromkeys(miou))
    assert ("mIoU" in str(verdict)) == labelled
    assert "98.8 % of the pixels" in str(verdict)


def test_turns_alternate_and_the_first_is_not_counted():
    calls = []
    runs = {name: lambda name=name: calls.append(name) for name in "ab"}
    assert time_in_turns(runs, turns=3).keys() == {"a", "b"}
    assert calls == [*"abababab"]
