from collections.abc import Callable

from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

__all__ = ["ramped_ema"]

Tensors = tuple[Tensor, ...] | list[Tensor]


def ramped_ema(alpha: float = 0.999) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    r"""Exponential moving average with a ramp, for torch's own ``AveragedModel``: the mean teacher.

    The teacher that labels the target is the average of the student's weights over time. Its
    decay at step t = 0, 1, ... is :math:`\alpha_t = \min(1 - 1 / (t + 1), \alpha)`: it begins as
    the plain mean of all students so far, so that the first, poor ones are forgotten soon, and
    turns into torch's ``get_ema_multi_avg_fn(alpha)``, which lacks the ramp.

    About batch norm: with ``use_buffers=False``, torch's default, every update copies the
    student's running statistics to a teacher whose weights they do not belong to; take ``True``,
    which averages them like the weights. Either way they are used in ``eval()`` mode only, where
    a teacher has to stay: ``AveragedModel`` keeps its own mode, set once.

    Reference: Tarvainen and Valpola, *Mean Teachers are Better Role Models*, NeurIPS 2017; as in
    DACS (WACV 2021) and DAFormer (CVPR 2022).

    Args:
        alpha: the highest decay, in [0, 1]; usually 0.99 to 0.999.

    Returns:
        A function for ``AveragedModel(student, multi_avg_fn=...)``. It is not part of the
        teacher's ``state_dict``, the step is.

    Raises:
        ValueError: if ``alpha`` is out of range.

    Example:
        >>> import torch
        >>> from torch.optim.swa_utils import AveragedModel
        >>> student = torch.nn.Conv2d(3, 19, 1)
        >>> teacher = AveragedModel(student, multi_avg_fn=ramped_ema(0.999), use_buffers=True)
        >>> teacher = teacher.eval().requires_grad_(False)
        >>> teacher.update_parameters(student)  # after each step of the optimizer
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"expected alpha in [0, 1], usually 0.99 to 0.999, got {alpha}")

    def update(teacher: Tensors, student: Tensors, step: Tensor | int) -> None:
        decay = min(1 - 1 / (int(step) + 1), alpha)
        get_ema_multi_avg_fn(decay)(teacher, student, step)  # type: ignore[no-untyped-call]

    return update
