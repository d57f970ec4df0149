"""Independent components for unsupervised domain adaptation in real-time semantic segmentation.

Import the family that you need; none of them loads another:

* :mod:`uda_seg.models`: BiSeNet on any timm backbone
* :mod:`uda_seg.discriminators`: domain discriminators in output space
* :mod:`uda_seg.transforms`: Fourier Domain Adaptation, colour transfer, ClassMix, block masks
* :mod:`uda_seg.batch_norm`: batch-norm statistics of the target, without any training
* :mod:`uda_seg.pseudo_labels`: pseudo-labels, class-wise thresholds, the mean teacher
* :mod:`uda_seg.inference`: sliding windows, averages over flips and scales
* :mod:`uda_seg.losses`: adversarial, entropy, distillation and segmentation losses, class weights
* :mod:`uda_seg.metrics`: confusion matrix, IoU, bootstrap intervals, recovered gap
* :mod:`uda_seg.datasets`: GTA5, SYNTHIA, Cityscapes and others, and your own folders
"""

__version__ = "0.1.0"
