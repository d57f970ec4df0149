"""Batch norm folded into convolutions: the same predictions from fewer operations."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from timm.layers.norm_act import BatchNormAct2d
from timm.models import reparameterize_model
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from uda_seg.models import BiSeNet

__all__ = ["fold_batch_norm"]

_CONVOLUTIONS = (torch.ops.aten.conv2d.default, torch.ops.aten.conv2d.padding)


def fold_batch_norm(network: BiSeNet, images: Tensor) -> BiSeNet:
    """A copy for inference whose convolutions have taken over the batch norms behind them.

    First timm joins the branches of blocks that have a form for inference, as RepVGG's do. Then
    torch folds each pair of a convolution and a batch norm; which these are tells the exported
    graph, since no name or order of modules does. A batch norm behind anything else, as in
    DenseNet, stays. The auxiliary heads are gone, so the copy can no longer train.

    Args:
        network: any BiSeNet; it is left as it is.
        images: ``(B, C, H, W)``, of a size that the network takes; their values do not matter.
    """
    folded = cast(BiSeNet, reparameterize_model(network).eval())
    folded.auxiliary_heads = nn.ModuleList()
    program = torch.export.export(folded, (images,))
    signature = program.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    norms = program.graph.find_nodes(op="call_function", target=torch.ops.aten.batch_norm.default)
    for batch_norm in norms:
        convolution, running_mean = batch_norm.args[0], batch_norm.args[3]
        if convolution.target not in _CONVOLUTIONS or len(convolution.users) > 1:
            continue
        conv_name, norm_name = _owner(convolution.args[1], names), _owner(running_mean, names)
        if conv_name is None or norm_name is None:
            continue
        conv: Any = folded.get_submodule(conv_name)
        norm: Any = folded.get_submodule(norm_name)
        folded.set_submodule(conv_name, fuse_conv_bn_eval(conv, norm))
        activated = isinstance(norm, BatchNormAct2d)
        rest = nn.Sequential(norm.drop, norm.act) if activated else nn.Identity()
        folded.set_submodule(norm_name, rest)
    return folded.requires_grad_(False)


def _owner(values: Any, names: Mapping[str, str]) -> str | None:
    """The module that holds these values, unless it computes them first or uses them twice."""
    if values is None or values.name not in names or len(values.users) > 1:
        return None
    return names[values.name].rpartition(".")[0]
