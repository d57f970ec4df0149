__all__ = ["MODEL_CARD"]

MODEL_CARD = """\
---
{{ card_data }}
---

A BiSeNet for real-time semantic segmentation, written by [uda-seg](https://pypi.org/project/uda-seg):
`config.json` has its arguments, `model.safetensors` its weights.

```python
from uda_seg.models import BiSeNet

network = BiSeNet.from_pretrained("this folder, or the name of its repository")
mean, std = network.normalization  # of RGB images (B, 3, H, W) in [0, 1]
logits = network(images).logits  # of images normalised so, (B, K, H, W)
```

Paper: [BiSeNet: Bilateral Segmentation Network for Real-time Semantic Segmentation](https://arxiv.org/abs/1808.00897).
"""
