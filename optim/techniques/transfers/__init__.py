"""What a student learns from its teacher.

=================  =====================================================================
soft_targets       what the teacher finds likely: the default, for any two networks
decoupled          the same, with a weight of its own for what comes second
hints              the teacher's features in the middle, beside soft targets
attention          where the teacher looks, beside soft targets
self_distillation  the student's own answer, taught to its early layers: no teacher
=================  =====================================================================
"""

from optim.techniques.transfers.attention import Attention
from optim.techniques.transfers.decoupled import Decoupled
from optim.techniques.transfers.hints import Hints
from optim.techniques.transfers.method import Setting, Teacher, TransferMethod
from optim.techniques.transfers.self_distillation import SelfDistillation
from optim.techniques.transfers.soft_targets import SoftTargets

__all__ = ["TRANSFERS", "Setting", "SoftTargets", "Teacher", "TransferMethod"]

TRANSFERS: dict[str, type[TransferMethod]] = {
    "soft_targets": SoftTargets,
    "decoupled": Decoupled,
    "hints": Hints,
    "attention": Attention,
    "self_distillation": SelfDistillation,
}
