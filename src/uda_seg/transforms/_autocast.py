from contextlib import AbstractContextManager, nullcontext

import torch

__all__ = ["without_autocast"]


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """A block whose matrix products keep the type of their operands."""
    kind = device.type
    known = torch.amp.is_autocast_available(kind)  # not of "meta"
    return torch.autocast(kind, enabled=False) if known else nullcontext()
