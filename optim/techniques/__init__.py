"""The techniques: one Step per file, one line here.

To add one, write ``optim/techniques/<name>.py`` with a :class:`~optim.step.Step` subclass, add its
line below and run the tests: the contract suite, the command line, the recipe format, the pages
and the reference page pick it up from here. Keep torch out of module level: the index is imported
by the web server, which never computes.

A choice inside a technique (an importance, a rounding) is a *method*: a file in a folder beside,
with its own index.
"""

from optim.step import Step
from optim.techniques.correct_bias import CorrectBias
from optim.techniques.distill import Distill
from optim.techniques.drop_blocks import DropBlocks
from optim.techniques.equalise import Equalise
from optim.techniques.factorize import Factorize
from optim.techniques.finetune import FineTune
from optim.techniques.finetune_quantized import FineTuneQuantized
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.prune_gradually import PruneGradually
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from optim.techniques.reestimate_batchnorm import ReestimateBatchNorm
from optim.techniques.share_weights import ShareWeights

__all__ = ["TECHNIQUES", "name_of"]

TECHNIQUES: dict[str, type[Step]] = {
    "prune_channels": PruneChannels,
    "drop_blocks": DropBlocks,
    "factorize": Factorize,
    "prune_weights": PruneWeights,
    "prune_gradually": PruneGradually,
    "reestimate_batchnorm": ReestimateBatchNorm,
    "finetune": FineTune,
    "distill": Distill,
    "equalise": Equalise,
    "quantize": Quantize,
    "share_weights": ShareWeights,
    "correct_bias": CorrectBias,
    "finetune_quantized": FineTuneQuantized,
}


def name_of(step: Step) -> str:
    """Return the name under which a step stands in the index, in recipes and on the page."""
    return next(name for name, cls in TECHNIQUES.items() if cls is type(step))
