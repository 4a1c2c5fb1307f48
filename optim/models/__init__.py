"""Models: the zoo of small architectures, trained checkpoints, and opening any file safely.

=============================  ================================================================
:mod:`~optim.models.zoo`       families of architectures and named reference configurations
:mod:`~optim.models.cards`     trained models that can be asked for by name
:mod:`~optim.models.open`      open a model by name or file
:mod:`~optim.models.bundle`    a model with input, task, origin and compression table
:mod:`~optim.models.checkpoint`  our own file format
=============================  ================================================================

To add an architecture, write ``optim/models/<name>.py`` with one class and one line in ``zoo.py``.
"""

from optim.models.architecture import Architecture
from optim.models.cards import ModelCard, model_cards
from optim.models.input_spec import InputSpec
from optim.models.zoo import ARCHITECTURES, ZOO

__all__ = ["ARCHITECTURES", "ZOO", "Architecture", "InputSpec", "ModelCard", "model_cards"]
