"""The one training loop. Pretraining, fine-tuning, distillation and pruning all use :func:`fit`.

=============  ===================================================================
``schedule``   how long and how fast: optimizer, learning rate, decay, clipping
``augment``    random changes to a batch, each sample its own; mixed samples
``losses``     what is made small: classification, distillation
``boxes``      the same where objects are to be found
``tasks``      which of them a task asks for
``masking``    weights that must stay zero, fixed or growing while training
``averaging``  the moving average of the weights
``epoch``      what an epoch gave, and which one's model is kept
``compute``    precision, layout and compilation of the arithmetic
``state``      what a stopped training needs to go on as if nothing had happened
``checks``     what cannot be trained on
``loop``       :func:`fit`
=============  ===================================================================
"""

from optim.train.augment import Augment, Mix
from optim.train.averaging import Average
from optim.train.boxes import detection_distillation_loss, detection_loss
from optim.train.compute import Compute
from optim.train.epoch import Epoch, Stopping
from optim.train.loop import fit
from optim.train.losses import (
    Objective,
    balanced_weights,
    classification_loss,
    distillation_loss,
)
from optim.train.masking import Gradual, GradualMasks, Masks
from optim.train.schedule import Schedule
from optim.train.tasks import imitation_loss, label_loss

__all__ = [
    "Augment",
    "Average",
    "Compute",
    "Epoch",
    "Gradual",
    "GradualMasks",
    "Masks",
    "Mix",
    "Objective",
    "Schedule",
    "Stopping",
    "balanced_weights",
    "classification_loss",
    "detection_distillation_loss",
    "detection_loss",
    "distillation_loss",
    "fit",
    "imitation_loss",
    "label_loss",
]
