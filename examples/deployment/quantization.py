"""Quantise a float ONNX file to 8 bits, and compare both files."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isnan
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, NamedTuple

import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

__all__ = ["Verdict", "time_in_turns", "write_int8"]

Pixels = NDArray[Any]
WORSE = 0.5
"""Largest accepted loss of mIoU through 8 bits, in points."""
# Resize is left out: upsampling in 8 bits would round the logits before argmax compares them.
_QUANTIZED = ["Add", "AveragePool", "Clip", "Concat", "Conv", "MaxPool", "Mul", "Relu"]


class _Feeds(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self, feeds: Iterator[Mapping[str, Pixels]]) -> None:
        self.feeds = feeds

    def get_next(self) -> Mapping[str, Pixels] | None:
        return next(self.feeds, None)


def write_int8(source: Path, target: Path, feeds: Iterable[Mapping[str, Pixels]]) -> None:
    """Quantise a file of :func:`deployment.onnx_file.write_onnx`, and keep its metadata.

    Weights get 8 bits, with one scale per channel. Activations get 8 bits, with their range on the
    given images. The classifier and the upsampling of its logits stay in float.

    Args:
        source: the file in float32.
        target: the file to write.
        feeds: inputs of the file for unlabelled target images.
    """
    with TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        quant_pre_process(source, optimized, skip_symbolic_shape=True)
        convolutions = [each for each in onnx.load(optimized).graph.node if each.op_type == "Conv"]
        quantize_static(
            optimized,
            target,
            _Feeds(iter(feeds)),
            per_channel=True,
            activation_type=QuantType.QUInt8,  # CPUs have uint8 x int8 products
            weight_type=QuantType.QInt8,
            op_types_to_quantize=_QUANTIZED,
            nodes_to_exclude=[convolutions[-1].name],
        )
    model = onnx.load(target)
    about = {each.key: each.value for each in onnx.load(source).metadata_props}
    onnx.helper.set_model_props(model, {**about, "precision": "int8"})
    onnx.save(model, target)


def time_in_turns(runs: Mapping[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Median milliseconds of each run. They take turns, so that a slow phase affects all."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(turns + 1):
        for name, run in runs.items():
            started = perf_counter()
            run()
            if turn:  # the first turn is the warm-up
                times[name].append(1e3 * (perf_counter() - started))
    return {name: median(each) for name, each in times.items()}


class Verdict(NamedTuple):
    """Losses and gains through 8 bits on this machine."""

    images: int
    """Number of images that were compared."""
    size: tuple[int, ...]
    """Height and width of the network input."""
    same_class: float
    """Mean share of pixels with the same class."""
    miou: Mapping[str, float]
    """mIoU of ``float`` and ``int8`` in %; NaN without labels."""
    milliseconds: Mapping[str, float]
    """Time per image of ``float`` and ``int8``."""

    @property
    def problems(self) -> list[str]:
        """Reasons against the 8-bit file: slower than float, or over half a point of mIoU worse."""
        problems, times = [], self.milliseconds
        if times["int8"] >= times["float"]:
            problems.append(
                f"int8 is slower here: {times['int8']:.1f} ms per image, float {times['float']:.1f}"
            )
        lost = self.miou["float"] - self.miou["int8"]
        if lost > WORSE:
            problems.append(f"int8 is worse: it loses {lost:.1f} points of mIoU")
        return problems

    def __str__(self) -> str:
        height, width = self.size
        score = "no labels to compute a score"
        if not isnan(self.miou["float"]):
            score = f"mIoU {self.miou['int8']:.1f} % instead of {self.miou['float']:.1f}"
        times = self.milliseconds
        return (
            f"int8 against float, {self.images} images at {height}x{width}: the same class on "
            f"{100 * self.same_class:.1f} % of the pixels; {score}; {times['int8']:.1f} ms per "
            f"image instead of {times['float']:.1f}"
        )

    def write(self, path: Path) -> None:
        """Write JSON with all fields and problems. The mIoU is null without labels."""
        miou = {name: None if isnan(each) else each for name, each in self.miou.items()}
        content = {**self._asdict(), "miou": miou, "problems": self.problems}
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
