from contextlib import AbstractContextManager, nullcontext

import torch

__all__ = ["without_autocast"]


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """A context without autocast, where matrix products keep the dtype of their operands."""
    kind = device.type
    known = torch.amp.is_autocast_available(kind)  # "meta" has no autocast
    return torch.autocast(kind, enabled=False) if known else nullcontext()
