"""Real-time segmentation networks over timm's backbones."""

from uda_seg.models._bisenet import BiSeNet, BiSeNetOutput

__all__ = ["BiSeNet", "BiSeNetOutput"]
