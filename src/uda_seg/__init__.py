"""Independent components for unsupervised domain adaptation in real-time semantic segmentation.

Import the family that you need; none of them loads another:

* :mod:`uda_seg.models`: BiSeNet over any timm backbone
* :mod:`uda_seg.discriminators`: domain discriminators in output space
* :mod:`uda_seg.transforms`: Fourier Domain Adaptation, ClassMix, block masks
* :mod:`uda_seg.batch_norm`: statistics of the target, without any training
* :mod:`uda_seg.pseudo_labels`: mean predictions, class-wise thresholds, labels, the teacher
* :mod:`uda_seg.inference`: predictions by windows, flips and scales
* :mod:`uda_seg.losses`: adversarial, entropy and segmentation losses, class weights
* :mod:`uda_seg.metrics`: confusion matrix, IoU, recovered gap
* :mod:`uda_seg.datasets`: GTA5, SYNTHIA, Cityscapes and others, and any folder of one's own
"""

__version__ = "0.1.0.dev0"
