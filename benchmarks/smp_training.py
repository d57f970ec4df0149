"""Compare training with segmentation_models_pytorch (smp): the loss alone, and a step.

    python benchmarks/smp_training.py

The loss compares low-resolution logits with full-size labels, forward and backward. Ours works in
bands. The losses of torch and smp work on upsampled logits. That of smp is ``SoftCrossEntropyLoss``
without smoothing. Its mean counts ignored pixels as correct. So its value is smaller by the share
of ignored pixels.

A step is forward pass, loss and backward pass. BiSeNet is trained as in the examples, with three
low-resolution outputs in bands. The other networks have one output at the size of the labels, with
torch's cross entropy, which is faster than smp's loss.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from segmentation_models_pytorch.losses import SoftCrossEntropyLoss
from torch import Tensor, nn

from measuring import peak_memory, save, time_in_turns
from smp_inference import BACKBONES, networks, some_images
from training_loss import mostly_right_logits, show, some_labels, up_sampled
from uda_seg.losses import upsampled_cross_entropy

LOSS_SIZE = (512, 1024)
BATCH_SIZE, SIZE = 2, (192, 384)
Runs = dict[str, Callable[[], Tensor]]


def main() -> None:
    """Measure all, print a table, write the JSON."""
    torch.manual_seed(0)
    runs = {"loss alone": losses()} | {f"step, {name}": steps(name) for name in BACKBONES}
    results = {what: time_in_turns(candidates, rounds=5) for what, candidates in runs.items()}
    for what, candidates in runs.items():
        for name, run in candidates.items():
            results[what][name] |= {"loss": run().item(), "peak_MiB": peak_memory(run)}
    show(results, "ours", lambda candidates, _: next(iter(candidates.values())))
    settings = {"loss_size": LOSS_SIZE, "batch_size": BATCH_SIZE, "size": SIZE}
    packages = ("timm", "segmentation_models_pytorch")
    print(save("smp_training", settings | {"results": results}, *packages))


def losses() -> Runs:
    """The losses of logits with stride 8."""
    labels = some_labels(1, LOSS_SIZE)
    logits = mostly_right_logits(labels, 8).requires_grad_()
    soft = SoftCrossEntropyLoss(smooth_factor=0.0, ignore_index=255)

    def run(loss: Callable[[Tensor, Tensor], Tensor], coarse: bool = False) -> Tensor:
        value = loss(logits if coarse else up_sampled(logits, LOSS_SIZE), labels)
        value.backward()
        logits.grad = None
        return value.detach()

    return {
        "uda_seg": partial(run, upsampled_cross_entropy, coarse=True),
        "torch": partial(run, partial(F.cross_entropy, ignore_index=255)),
        "smp": partial(run, soft),
    }


def steps(backbone: str) -> Runs:
    """The training steps of all networks on the same batch."""
    images, labels = some_images(BATCH_SIZE, SIZE), some_labels(BATCH_SIZE, SIZE)

    def run(network: nn.Module, ours: bool) -> Tensor:
        if ours:
            logits, auxiliary = network(images, size="native")
            maps = (logits, *auxiliary)
            loss = torch.stack([upsampled_cross_entropy(each, labels) for each in maps]).sum()
        else:
            loss = F.cross_entropy(network(images), labels, ignore_index=255)
        loss.backward()
        network.zero_grad()
        return loss.detach()

    return {
        name: partial(run, network.train(), ours=name == "BiSeNet")
        for name, network in networks(backbone).items()
    }


if __name__ == "__main__":
    main()
