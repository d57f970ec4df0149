"""Exported files as functions of images, against the network that they come from."""

import onnx
import pytest
import torch
import torch.nn.functional as F

from deployment.model import ExportModel
from deployment.onnx_file import write_onnx
from deployment.runtime import ExportedNetwork
from uda_seg.models import BiSeNet

SIZE = (90, 120)


def tiny():
    torch.manual_seed(0)
    network = BiSeNet(5, "test_resnet", pretrained_backbone=False)
    network(torch.randn(4, 3, 64, 64))
    return network.eval()


@pytest.mark.parametrize(
    ("pixels", "class_ids"), [("unit", False), ("uint8", True), ("normalized", False)]
)
def test_gives_the_networks_classes_whatever_the_file_takes(tmp_path, pixels, class_ids):
    network = tiny()
    model = ExportModel(network, pixels=pixels, class_ids=class_ids)
    write_onnx(model, tmp_path / "city.onnx", classes=[*"abcde"])
    exported = ExportedNetwork(tmp_path / "city.onnx", threads=1)
    assert exported.classes == [*"abcde"]
    images = torch.randint(256, (2, 3, 45, 60)) / 255
    logits = ExportModel(network)(images)
    if class_ids:
        expected = F.interpolate(logits.argmax(1)[:, None].byte(), SIZE, mode="nearest-exact")[:, 0]
    else:
        expected = F.interpolate(logits, SIZE, mode="bilinear").argmax(1)
    found = exported.class_ids(images, SIZE)
    assert found.dtype == torch.int64
    assert (found == expected).float().mean() > 0.999  # where two are equally likely
    assert found.unique().numel() > 1


def test_what_is_no_exported_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected an ONNX file, got .*none\.onnx"):
        ExportedNetwork(tmp_path / "none.onnx")
    text = tmp_path / "text.onnx"
    text.write_text("no protobuf")
    with pytest.raises(ValueError, match=r"that examples/export\.py wrote, got .*text\.onnx"):
        ExportedNetwork(text)
    value = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([], "foreign", [value], [value])
    opset = onnx.helper.make_opsetid("", 18)
    foreign = onnx.helper.make_model(graph, ir_version=9, opset_imports=[opset])
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(ValueError, match=r"foreign\.onnx: KeyError"):
        ExportedNetwork(tmp_path / "foreign.onnx")
    onnx.helper.set_model_props(
        foreign, {"pixels": "unit", "mean": "[0]", "std": "[1]", "classes": "[]"}
    )
    onnx.save(foreign, tmp_path / "grey.onnx")
    (tmp_path / "empty.onnx").touch()
    foreign.ir_version = 99
    onnx.save(foreign, tmp_path / "newer.onnx")
    for name in ("grey.onnx", "empty.onnx", "newer.onnx", "."):
        with pytest.raises(ValueError, match="expected an ONNX file of RGB"):
            ExportedNetwork(tmp_path / name)
