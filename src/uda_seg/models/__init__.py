"""Real-time segmentation networks on timm backbones."""

from uda_seg.models._bisenet import BiSeNet, BiSeNetOutput
from uda_seg.models._convert import convert_bisenetv1_state_dict

__all__ = ["BiSeNet", "BiSeNetOutput", "convert_bisenetv1_state_dict"]
