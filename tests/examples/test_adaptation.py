"""The steps against a plain torch loop that shares no code with them."""

import copy

import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric

from adaptation import adversarial_step, control_step, source_step
from uda_seg.discriminators import DepthwiseFC
from uda_seg.models import BiSeNet

STEPS, CLASSES, WEIGHT = 3, 5, 0.05


@pytest.fixture
def setting():
    torch.manual_seed(0)
    # In double precision, since training amplifies the rounding of two orders of summation.
    network = BiSeNet(CLASSES, "test_resnet", pretrained_backbone=False).double()
    discriminator = DepthwiseFC(CLASSES, width=8).double()
    images = torch.randn(STEPS, 2, 2, 3, 64, 64, dtype=torch.float64)
    labels = torch.randint(CLASSES, (STEPS, 2, 64, 64))
    batches = [(images[step, 0], labels[step], images[step, 1]) for step in range(STEPS)]
    return network, discriminator, batches


def optimizers(network, discriminator):
    return (
        torch.optim.SGD(network.parameters(), 0.05),
        torch.optim.Adam(discriminator.parameters(), 1e-2),
    )


def cross_entropy(output, labels):
    return F.cross_entropy(output.logits, labels) + sum(
        F.cross_entropy(logits, labels) for logits in output.auxiliary
    )


def plain_loop(network, discriminator, batches, *, row):
    """The reference: everything written out, statistics saved and put back by hand."""
    network.train()
    optimizer, d_optimizer = optimizers(network, discriminator)
    for images, labels, target in batches:
        optimizer.zero_grad()
        d_optimizer.zero_grad()
        before = {name: value.clone() for name, value in network.named_buffers()}
        source_output = network(images)
        cross_entropy(source_output, labels).backward()
        if row != "source only":
            for name, value in network.named_buffers():
                value.copy_(before[name])
            target_output = network(target)
        if row == "adapted":
            logits = discriminator(F.softmax(target_output.logits, 1))
            (WEIGHT * -F.logsigmoid(-logits).mean()).backward()
            d_optimizer.zero_grad()  # what the segmenter's loss left in the discriminator
            on_source = discriminator(F.softmax(source_output.logits, 1).detach())
            on_target = discriminator(F.softmax(target_output.logits, 1).detach())
            (-F.logsigmoid(-on_source).mean() - F.logsigmoid(on_target).mean()).div(2).backward()
            d_optimizer.step()
        optimizer.step()


def with_steps(network, discriminator, batches, *, row):
    fabric = Fabric(accelerator="cpu", devices=1)
    network.train()
    both = optimizers(network, discriminator)
    for images, labels, target in batches:

        def loss(output, labels=labels):
            return cross_entropy(output, labels)

        if row == "source only":
            source_step(fabric, network, images, loss)
        elif row == "control":
            control_step(fabric, network, images, target, loss)
        else:
            adversarial_step(fabric, network, discriminator, images, target, loss, weight=WEIGHT)
        for optimizer in both:
            optimizer.step()
            optimizer.zero_grad()


@pytest.mark.parametrize("row", ["source only", "control", "adapted"])
def test_the_steps_equal_a_plain_loop(setting, row):
    network, discriminator, batches = setting
    expected = copy.deepcopy((network, discriminator))
    untouched = copy.deepcopy(discriminator.state_dict())
    plain_loop(*expected, batches, row=row)
    with_steps(network, discriminator, batches, row=row)
    for module, reference in zip((network, discriminator), expected, strict=True):
        for (name, value), other in zip(
            module.state_dict().items(), reference.state_dict().values(), strict=True
        ):
            if "num_batches_tracked" not in name:  # counts calls; nothing reads it
                torch.testing.assert_close(value, other, msg=name)
    assert (row == "adapted") != all(
        torch.equal(value, untouched[name]) for name, value in discriminator.state_dict().items()
    )


def test_the_discriminator_starts_at_chance(setting):
    network, discriminator, [(images, labels, target), *_] = setting
    fabric = Fabric(accelerator="cpu", devices=1)
    network.train()
    losses = adversarial_step(
        fabric, network, discriminator, images, target, lambda o: cross_entropy(o, labels), weight=1
    )
    assert losses["discriminator"].item() == pytest.approx(0.693, abs=0.05)
