"""Run an exported file in ONNX Runtime."""

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnxruntime import InferenceSession, SessionOptions
from onnxruntime.capi import onnxruntime_pybind11_state as runtime
from torch import Tensor

__all__ = ["ExportedNetwork"]

_REFUSALS = (  # errors for damaged files, and for files of a newer ONNX
    runtime.Fail,
    runtime.InvalidArgument,
    runtime.InvalidGraph,
    runtime.InvalidProtobuf,
    runtime.NotImplemented,
    runtime.RuntimeException,
)


class ExportedNetwork:
    """A file of ``export.py`` as a function from RGB in [0, 1] to class ids.

    It accepts files with any form of input and output that ``export.py`` offers.

    Args:
        path: the file. Its metadata state the form of its input.
        threads: number of CPU threads; all by default.

    Attributes:
        classes: names of the classes, in the order of the ids.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if ``export.py`` did not write the file.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        options = SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3  # errors only
        try:
            self.session = InferenceSession(path, options, ["CPUExecutionProvider"])
            about = self.session.get_modelmeta().custom_metadata_map
            self._pixels = about["pixels"]
            self._mean, self._std = (
                np.float32(ast.literal_eval(about[name])).reshape(-1, 1, 1)
                for name in ("mean", "std")
            )
            self.classes: list[str] = json.loads(about["classes"])
            if not self.classes or self._mean.size != 3:
                raise ValueError("no classes, or images that are not RGB")
        except runtime.NoSuchFile as error:
            raise FileNotFoundError(f"expected an ONNX file, got no file at {path}") from error
        except (*_REFUSALS, KeyError, TypeError, ValueError, SyntaxError) as error:
            raise ValueError(
                f"expected an ONNX file of RGB images that examples/export.py wrote, got {path}: "
                f"{error!r}"
            ) from error

    def feed(self, images: Tensor) -> Mapping[str, NDArray[Any]]:
        """Convert images ``(B, C, H, W)`` in [0, 1] to inputs of the session."""
        pixels: NDArray[Any] = images.cpu().numpy()
        if self._pixels == "uint8":
            pixels = (255 * pixels).round().astype(np.uint8)
        elif self._pixels == "normalized":
            pixels = (pixels - self._mean) / self._std
        return {"images": pixels}

    def class_ids(self, images: Tensor, size: tuple[int, int]) -> Tensor:
        """Class ids ``(B, *size)`` of images ``(B, C, H, W)`` in [0, 1]."""
        output = torch.from_numpy(self.session.run(None, self.feed(images))[0])
        same = output.shape[-2:] == size
        if output.ndim == 4:
            logits = output if same else F.interpolate(output, size, mode="bilinear")
            return logits.max(dim=1).indices
        ids = output if same else F.interpolate(output[:, None], size, mode="nearest-exact")[:, 0]
        return ids.long()
