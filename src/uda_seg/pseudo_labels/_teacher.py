from collections.abc import Callable

from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

__all__ = ["ramped_ema"]

Tensors = tuple[Tensor, ...] | list[Tensor]


def ramped_ema(alpha: float = 0.999) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    r"""Exponential moving average with a ramp, for a mean teacher by torch's ``AveragedModel``.

    The teacher predicts the pseudo-labels of the target. Its weights are an average of the
    student's weights over time. The decay at step t = 0, 1, ... is
    :math:`\alpha_t = \min(1 - 1 / (t + 1), \alpha)`. At first, this is the plain mean of all
    students so far, so the first, poor students are forgotten soon. Later, it equals torch's
    ``get_ema_multi_avg_fn(alpha)``, which has no ramp.

    For networks with batch norm, set ``use_buffers=True``, which averages running statistics like
    weights. With torch's default of False, each update copies the running statistics of the
    student to the teacher, whose weights differ. Keep the teacher in ``eval()`` mode, since only
    this mode uses running statistics. One call is enough, as ``AveragedModel`` keeps its mode.

    Reference: Tarvainen and Valpola, *Mean Teachers are Better Role Models*, NeurIPS 2017; as in
    DACS (WACV 2021) and DAFormer (CVPR 2022).

    Args:
        alpha: the highest decay, in [0, 1]; usually 0.99 to 0.999.

    Returns:
        A function for ``AveragedModel(student, multi_avg_fn=...)``. The ``state_dict`` of the
        teacher holds the step, but not this function.

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
