__all__ = ["MODEL_CARD"]

MODEL_CARD = """\
---
{{ card_data }}
---

A BiSeNet for real-time semantic segmentation, saved by the Python package uda-seg.
`config.json` holds its arguments, such as the number of classes and the backbone.
`model.safetensors` holds its weights.

```python
import torch
from kornia.enhance import normalize
from uda_seg.models import BiSeNet

network = BiSeNet.from_pretrained("this folder, or the name of its repository")
mean, std = map(torch.tensor, network.normalization)
logits = network(normalize(images, mean, std)).logits  # of RGB (B, 3, H, W) in [0, 1]: (B, K, H, W)
```

Paper: [BiSeNet: Bilateral Segmentation Network for Real-time Semantic Segmentation](https://arxiv.org/abs/1808.00897).
"""
