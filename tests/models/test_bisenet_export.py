"""One graph for every batch and size: torch.export, torch.compile, ONNX; and lower precision."""

import copy
import math

import onnx
import pytest
import torch
from onnxruntime import InferenceSession
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.export import Dim
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.tensorboard import SummaryWriter

from uda_seg.models import BiSeNet

TRACED = (2, 3, 64, 96)
SHAPES = [TRACED, (1, 3, 64, 64), (3, 3, 33, 47), (2, 3, 97, 130), (1, 3, 45, 255)]
BACKBONES = {
    "plain": {"backbone": "test_resnet"},
    "channels last": {"backbone": "test_mambaout"},
    "TensorFlow's padding": {
        "backbone": "test_efficientnet",
        "backbone_kwargs": {"pad_type": "same"},
    },
}


def lively(backbone="plain"):
    """A network with statistics such as training leaves."""
    torch.manual_seed(0)
    network = BiSeNet(5, pretrained_backbone=False, **BACKBONES[backbone])
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
    return network.eval()


@pytest.mark.parametrize("backbone", ["channels last", "TensorFlow's padding"])
def test_an_exported_program_serves_every_batch_and_size(backbone):
    network = lively(backbone)
    dynamic = {"images": {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}}
    program = torch.export.export(network, (torch.randn(TRACED),), dynamic_shapes=dynamic)
    exported = program.module()
    for shape in SHAPES:
        images = torch.randn(shape)
        torch.testing.assert_close(exported(images).logits, network(images).logits)


@pytest.mark.newer_torch
def test_an_exported_program_keeps_a_size_of_the_logits():
    network = lively()
    dynamic = {"images": {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}, "size": (None, None)}
    images, size = torch.randn(TRACED), {"size": (50, 60)}
    program = torch.export.export(network, (images,), size, dynamic_shapes=dynamic)
    images = torch.randn(3, 3, 97, 130)
    output = program.module()(images, **size)
    torch.testing.assert_close(output.logits, network(images, **size).logits)


@pytest.mark.newer_torch
@pytest.mark.parametrize(("backbone", "training"), [("plain", True), ("channels last", False)])
def test_one_graph_without_breaks_compiles_for_all_sizes(backbone, training):
    torch.compiler.reset()
    graphs = []

    def count(graph, _):
        graphs.append(graph)
        return graph

    network = lively(backbone).train(training)
    compiled = torch.compile(network, fullgraph=True, dynamic=True, backend=count)
    for shape in [(2, 3, 64, 96), (3, 3, 97, 130), (4, 3, 72, 255)]:
        images = torch.randn(shape)
        with torch.no_grad():
            output, expected = compiled(images), network(images)
        torch.testing.assert_close(output.logits, expected.logits)
        assert len(output.auxiliary) == 2 * training
        torch.testing.assert_close(output.auxiliary, expected.auxiliary)
    assert len(graphs) == 1


def test_compiled_without_a_word_it_serves_sizes_that_change():
    torch.compiler.reset()
    network = lively()
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    for shape in [(2, 3, 64, 96), (3, 3, 97, 130), (4, 3, 72, 255)]:
        images = torch.randn(shape)
        with torch.no_grad():
            torch.testing.assert_close(compiled(images).logits, network(images).logits)


tracing = pytest.mark.filterwarnings(
    "ignore:`torch.jit",
    "ignore::torch.jit.TracerWarning",  # of its end, and of our checks of sizes
)


@tracing
@pytest.mark.parametrize(("backbone", "training"), [("plain", True), ("channels last", False)])
def test_a_trace_is_the_network_at_its_size(backbone, training, tmp_path):
    network, images = lively(backbone).train(training), torch.randn(TRACED)
    kept = copy.deepcopy(network)  # training moves its statistics
    traced = torch.jit.trace(network, images, check_trace=False)
    traced.save(tmp_path / "network.pt")
    output = torch.jit.load(tmp_path / "network.pt")(images)
    expected = kept(images)
    assert len(output) == 2
    torch.testing.assert_close(output[0], expected.logits)
    torch.testing.assert_close(tuple(output[1]), expected.auxiliary)


@tracing
def test_tensorboard_draws_the_network(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_graph(lively(), torch.randn(TRACED))
    events = EventAccumulator(str(tmp_path)).Reload()
    names = {node.name for node in events.Graph().node}
    assert any("context_path" in name for name in names)


def test_make_fx_gives_a_graph_of_operators():
    network, images = lively(), torch.randn(TRACED)
    with torch.no_grad():
        graph = make_fx(network)(images)
        torch.testing.assert_close(graph(images), network(images))


def test_a_compiled_network_still_refuses_what_is_too_small():
    compiled = torch.compile(lively(), fullgraph=True, backend="eager")
    with pytest.raises(Exception, match="at least 32x32"):
        compiled(torch.rand(1, 3, 31, 64))


def test_an_onnx_file_serves_every_batch_and_size(tmp_path):
    network = lively("TensorFlow's padding")  # whose shapes take the most arithmetic
    program = torch.onnx.export(
        network,
        (torch.randn(TRACED),),
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes={"images": {0: "batch", 2: "height", 3: "width"}},
        dynamo=True,
        verbose=False,
    )
    path = tmp_path / "network.onnx"
    program.save(path)
    onnx.checker.check_model(path, full_check=True)
    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == ["batch", 3, "height", "width"]
    assert session.get_outputs()[0].shape == ["batch", 5, "height", "width"]
    for shape in [*SHAPES, (2, 3, 32, 32)]:
        images = torch.randn(shape)
        output = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
        exact = network.double()(images.double()).logits
        rounding = (network.float()(images).logits - exact).abs().max()
        # Another order of sums: as good as torch's own float32, within a factor.
        assert (output - exact).abs().max() < 8 * rounding


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_lower_precision_costs_no_more_than_its_rounding(dtype, autocast):
    network, images = lively(), torch.randn(2, 3, 97, 130)
    exact = network(images).logits
    with torch.no_grad(), torch.autocast("cpu", dtype, enabled=autocast):
        if not autocast:
            network, images = network.to(dtype), images.to(dtype)
        logits = network(images).logits
    assert logits.dtype == dtype
    # Each of some 40 roundings in a row errs by half of eps at most, each in its own direction.
    error = (logits.float() - exact).square().mean().sqrt() / exact.square().mean().sqrt()
    assert error < math.sqrt(40) * torch.finfo(dtype).eps / 2
