"""The machine and the package versions with which a score was measured."""

import platform
import time

import kornia
import timm
import torch

__all__ = ["environment"]


def environment() -> dict[str, str | int]:
    """Describe the machine and the package versions."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "kornia": kornia.__version__,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "machine": platform.platform(),
        "threads": torch.get_num_threads(),
    }
