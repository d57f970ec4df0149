"""Write ONNX files, check them, and compare them with torch."""

import copy
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import onnx
import torch
from onnxruntime import InferenceSession
from onnxscript import ir
from torch import Tensor

from deployment.model import ExportModel
from uda_seg.models import BiSeNet

__all__ = ["CHECKED", "Agreement", "check_onnx", "compare_outputs", "write_onnx"]

TRACED = (2, 64, 96)  # torch would treat a batch of one as a constant
CHECKED = (TRACED, (1, 32, 32), (3, 33, 47), (1, 97, 130), (1, 256, 512))  # batch, height, width
# Relative to the largest logit. Over the backbones of docs/export.md, another order of summation
# changed it by at most 2.5e-6 in float32 and 1.1e-2 in float16.
TOLERANCE = {torch.float32: 1e-4, torch.float16: 2e-2}
ROUNDING_FACTOR = 10  # tolerance over torch's own rounding error, which some networks amplify


class Agreement(NamedTuple):
    """Agreement of a file and torch on one batch of images."""

    shape: tuple[int, int, int]
    """Batch, height, width."""
    deviation: float
    """Largest logit error, or the smallest one that explains the ids, over the largest logit."""
    same_class: float
    """Share of pixels with the same most likely class."""


def write_onnx(model: ExportModel, path: Path, *, classes: Sequence[str] = ()) -> None:
    """Write one file whose input ``images`` has any batch size, height and width.

    Its metadata store the names of the classes, the form of the pixels, and the normalisation.
    """
    program = torch.onnx.export(
        model,
        (model.random_images(*TRACED),),
        input_names=["images"],
        output_names=["class_ids" if model.class_ids else "logits"],
        dynamic_shapes={"images": {0: "batch", 2: "height", 3: "width"}},
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # only an export without dynamo returns None
    # Remove stack traces of the exporter. They contain folder names of this machine.
    ir.passes.common.ClearMetadataAndDocStringPass()(program.model)
    mean, std = model.network.normalization
    about = {"pixels": model.pixels, "mean": str(list(mean)), "std": str(list(std))}
    program.model.metadata_props.update({**about, "classes": json.dumps(list(classes))})
    program.save(path, external_data=False)


def check_onnx(path: Path, model: ExportModel, network: BiSeNet) -> Iterator[Agreement]:
    """Compare a file with its network, as trained and in float64.

    Raises:
        onnx.checker.ValidationError: if the file is not valid ONNX.
        ArithmeticError: if the results of ONNX Runtime and torch differ too much.
    """
    onnx.checker.check_model(path, full_check=True)
    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    in_torch = ExportModel(network, pixels=model.pixels)
    exactly = ExportModel(copy.deepcopy(network).double(), pixels=model.pixels)
    half = model.precision == torch.float16
    for shape in CHECKED:
        images = model.random_images(*shape)
        with torch.no_grad():
            exact, rounded = exactly(images), in_torch(images)
        output = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
        agreement = compare_outputs(shape, output, exact)
        rounding = compare_outputs(shape, rounded, exact).deviation
        tolerance = max(TOLERANCE[model.precision], ROUNDING_FACTOR * rounding)
        if not agreement.deviation <= tolerance:  # NaN is refused as well
            raise ArithmeticError(
                f"expected ONNX Runtime within {tolerance:.0e} of the largest logit, got "
                f"{agreement.deviation:.1e} at {shape} (torch's own rounding: {rounding:.1e}); "
                + ("float16 overflows above 65504; " if half else "")
                + "try other versions of torch, onnxscript and onnxruntime"
            )
        yield agreement


def compare_outputs(shape: tuple[int, int, int], output: Tensor, logits: Tensor) -> Agreement:
    """Compare logits ``(B, K, H, W)`` or class ids ``(B, H, W)`` with torch's logits."""
    if output.ndim == 4:
        error = (output - logits).abs().max()
        class_ids = output.argmax(dim=1)
    else:
        class_ids = output.long()
        chosen = logits.gather(1, class_ids[:, None])[:, 0]
        error = (logits.amax(dim=1) - chosen).max() / 2  # half on each of the two logits
    same = (class_ids == logits.argmax(dim=1)).float().mean()
    return Agreement(shape, (error / logits.abs().max()).item(), same.item())
