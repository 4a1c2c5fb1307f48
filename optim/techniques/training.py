"""What all techniques that train have in common: their fields, and how those reach the loop.

Not a technique itself. One that trains derives from :class:`TrainingStep`, changes the defaults and
labels of the fields where it must, and calls :meth:`TrainingStep.train` with a module and a loss.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from optim.data.task import Detection
from optim.errors import ConfigError
from optim.fields import Choice, Range
from optim.step import Context, LayerReport, Step, StepReport

if TYPE_CHECKING:
    from torch import Tensor, nn

    from optim.train import Epoch, Masks, Objective, Schedule, Stopping

__all__ = [
    "ONLY_IMAGES",
    "BatchSize",
    "Epochs",
    "LearningRate",
    "Shift",
    "TaughtStep",
    "Trained",
    "TrainingStep",
    "WeightDecay",
]


_SELECTED = (
    "The validation samples have chosen the epoch that is kept: the accuracy on them is a little "
    "too high."
)

ONLY_IMAGES = {
    "shift": "a random shift",
    "flip": "mirroring",
    "cutout": "cutout",
    "cutmix": "CutMix",
    "start_resolution": "a first resolution",
    "layout": "a memory layout",
}
"""What fields do that have a meaning for images alone, in a sentence."""

# Fields whose default depends on what is trained.
Epochs = Annotated[
    int,
    Range(
        low=0,
        high=100,
        step=1,
        unit="epochs",
        label="Epochs",
        help="Passes over the training data.",
    ),
]
LearningRate = Annotated[
    float,
    Range(
        low=0.0001,
        high=0.5,
        step=0.0001,
        scale="decades",
        label="Learning rate",
        expert=True,
        help="Highest learning rate; AdamW wants about a hundredth of what SGD wants.",
    ),
]
BatchSize = Annotated[
    int,
    Range(
        low=16,
        high=1024,
        step=16,
        scale="log",
        unit="samples",
        label="Batch size",
        help="Samples a training step.",
        expert=True,
    ),
]
WeightDecay = Annotated[
    float,
    Range(
        low=0.0,
        high=0.1,
        step=0.0005,
        label="Weight decay",
        help="Pulls weights towards zero, all alike; biases and norms are left out.",
        expert=True,
    ),
]
Shift = Annotated[
    int,
    Range(
        low=0,
        high=8,
        step=1,
        unit="pixels",
        label="Random shift",
        expert=True,
        help="Largest random shift while training, for images of 32 pixels; others in proportion.",
    ),
]


@dataclass(frozen=True)
class Trained:
    """What a training gave besides the trained module.

    Attributes:
        history: One entry an epoch.
        samples: Samples it was trained on.
        notes: What a reader of the result must know.
    """

    history: tuple[Epoch, ...]
    samples: int
    notes: tuple[str, ...]

    @property
    def summary(self) -> str:
        """Length, loss and accuracy in one sentence."""
        first, last = self.history[0], self.history[-1]
        accuracy = ""
        if first.accuracy is not None and last.accuracy is not None:
            accuracy = f", validation accuracy {first.accuracy:.1%} to {last.accuracy:.1%}"
        return (
            f"{len(self.history)} epochs on {self.samples:,} samples, loss {first.loss:.3f} to "
            f"{last.loss:.3f}{accuracy}."
        )


class TrainingStep(Step):
    """Base of the techniques that train."""

    cost: ClassVar[Literal["instant", "calibrated", "training"]] = "training"
    ensures: ClassVar[frozenset[str]] = frozenset({"recovered", "bn_measured"})
    tasks: ClassVar[frozenset[str]] = frozenset({"classification", "detection"})

    epochs: Epochs = 12

    # --- how fast -------------------------------------------------------------------------------

    learning_rate: LearningRate = 0.1
    batch_size: BatchSize = 128
    optimizer: Annotated[
        Literal["sgd", "adamw"],
        Choice(
            options={"sgd": "SGD", "adamw": "AdamW"},
            label="Optimizer",
            help="SGD with Nesterov momentum for convolutions; AdamW for transformers.",
            expert=True,
        ),
    ] = "sgd"
    shape: Annotated[
        Literal["cosine", "one_cycle", "step", "constant"],
        Choice(
            options={
                "cosine": "Cosine",
                "one_cycle": "One cycle",
                "step": "Steps",
                "constant": "Constant",
            },
            label="Schedule",
            help="How the learning rate falls after the warm-up: along a cosine, or tenfold at "
            "half and at three quarters.",
            expert=True,
        ),
    ] = "cosine"
    warmup: Annotated[
        float,
        Range(
            low=0.0,
            high=0.5,
            step=0.05,
            scale="percent",
            label="Warm-up",
            help="Share of the steps in which the learning rate rises.",
            expert=True,
        ),
    ] = 0.15
    momentum: Annotated[
        float,
        Range(
            low=0.0,
            high=0.99,
            step=0.01,
            label="Momentum",
            help="Of SGD; for AdamW its first beta.",
            expert=True,
        ),
    ] = 0.9
    clip: Annotated[
        float,
        Range(
            low=0.0,
            high=20.0,
            step=0.5,
            label="Gradient clipping",
            help="Largest norm of the gradient; 0 does not clip.",
            expert=True,
        ),
    ] = 5.0

    # --- what keeps it from learning by heart ---------------------------------------------------

    weight_decay: WeightDecay = 0.0005
    l1: Annotated[
        float,
        Range(
            low=0.0,
            high=0.001,
            step=0.00001,
            label="L1",
            help="Pulls every weight towards zero by the same amount, so that many become small.",
            expert=True,
        ),
    ] = 0.0
    label_smoothing: Annotated[
        float,
        Range(
            low=0.0,
            high=0.5,
            step=0.01,
            scale="percent",
            label="Label smoothing",
            help="Share of every label that is spread over all classes.",
            expert=True,
        ),
    ] = 0.0
    class_weights: Annotated[
        Literal["equal", "balanced"],
        Choice(
            options={"equal": "Samples count alike", "balanced": "Classes count alike"},
            label="Class weights",
            help="Whether samples of rare classes count more, so that all classes count alike.",
            expert=True,
        ),
    ] = "equal"
    shift: Shift = 3
    flip: Annotated[
        bool,
        Choice(
            options={False: "No", True: "Yes"},
            label="Mirror",
            help="Mirrors half of the images left to right; wrong for digits and letters.",
            expert=True,
        ),
    ] = False
    cutout: Annotated[
        int,
        Range(
            low=0,
            high=24,
            step=2,
            unit="pixels",
            label="Cutout",
            help="Side of a square that is blanked out of every image, each its own; for images of "
            "32 pixels, others in proportion.",
            expert=True,
        ),
    ] = 0
    mixup: Annotated[
        float,
        Range(
            low=0.0,
            high=1.0,
            step=0.1,
            label="Mixup",
            help="Blends every sample with another; 0 is off, 1 makes all shares equally likely.",
            expert=True,
        ),
    ] = 0.0
    cutmix: Annotated[
        float,
        Range(
            low=0.0,
            high=1.0,
            step=0.1,
            label="CutMix",
            help="Covers part of every image with another one; 0 is off, 1 makes all areas equally "
            "likely.",
            expert=True,
        ),
    ] = 0.0

    # --- which model is kept --------------------------------------------------------------------

    average: Annotated[
        float,
        Range(
            low=0.0,
            high=5.0,
            step=0.25,
            unit="epochs",
            label="Weight average",
            help="Length of the moving average of the weights that is kept; 0 keeps the weights.",
            expert=True,
        ),
    ] = 0.0
    keep: Annotated[
        Literal["last", "best"],
        Choice(
            options={"last": "Last epoch", "best": "Best epoch"},
            label="Keep",
            help="The model of the last epoch, or of the best one on validation samples.",
            expert=True,
        ),
    ] = "last"
    patience: Annotated[
        int,
        Range(
            low=0,
            high=50,
            step=1,
            unit="epochs",
            label="Patience",
            help="Stops after so many epochs without a better one; 0 trains to the end.",
            expert=True,
        ),
    ] = 0

    # --- what makes it faster -------------------------------------------------------------------

    freeze: Annotated[
        float,
        Range(
            low=0.0,
            high=0.9,
            step=0.05,
            scale="percent",
            label="Frozen layers",
            help="Share of the layers, from the input on, that stay as they are.",
            expert=True,
        ),
    ] = 0.0
    start_resolution: Annotated[
        float,
        Range(
            low=0.25,
            high=1.0,
            step=0.05,
            scale="percent",
            label="First resolution",
            help="Size of images in the first epoch; it grows, and is whole from the middle on.",
            expert=True,
        ),
    ] = 1.0
    precision: Annotated[
        Literal["float32", "bfloat16"],
        Choice(
            options={"float32": "float32", "bfloat16": "bfloat16"},
            label="Precision",
            help="bfloat16 multiplies in half the bits; weights and sums stay in float32.",
            expert=True,
        ),
    ] = "float32"
    layout: Annotated[
        Literal["channels_last", "contiguous"],
        Choice(
            options={"channels_last": "Channels last", "contiguous": "Channels first"},
            label="Memory layout",
            help="Convolutions of most processors are faster with channels last.",
            expert=True,
        ),
    ] = "channels_last"
    compile: Annotated[
        bool,
        Choice(
            options={False: "No", True: "Yes"},
            label="Compile",
            help="Compiles the model first, which takes a minute and pays off in long training; "
            "the report says whether it did.",
            expert=True,
        ),
    ] = False

    @property
    def is_neutral(self) -> bool:
        """Whether nothing would be trained."""
        return self.epochs == 0

    def train(
        self,
        module: nn.Module,
        context: Context,
        objective: Objective,
        *,
        masks: Masks | Mapping[str, Tensor] | None = None,
        frozen: Collection[str] = (),
    ) -> Trained:
        """Train a module in place with the settings of the fields.

        Args:
            module: What is trained.
            context: Where samples, seed and resumption come from.
            objective: The loss.
            masks: ``{layer: mask}`` of weights that must stay zero, or masks that change.
            frozen: See :meth:`frozen_layers`.
        """
        import torch

        from optim.train import Augment, Compute, Mix, fit

        inputs, targets = context.training()
        schedule = self.schedule()
        has_boxes = isinstance(context.reference.task, Detection)
        notes = self._notes(inputs.ndim == 4, has_boxes)
        with torch.random.fork_rng():
            torch.manual_seed(context.seed)  # dropout draws from the global generator
            history = fit(
                module,
                inputs,
                targets,
                objective,
                schedule,
                generator=context.generator(),
                augment=Augment(
                    shift=0 if has_boxes else _in_proportion(self.shift, inputs),
                    flip=self.flip and not has_boxes,
                    cutout=_in_proportion(self.cutout, inputs),
                ),
                mix=Mix(self.mixup, self.cutmix),
                masks=masks,
                validation=None if has_boxes else _validation(context),
                stopping=self.stopping(),
                average=self._decay(len(inputs)),
                compute=Compute(self.precision, self.layout == "channels_last", self.compile),
                frozen=frozen,
                resume=context.resume,
                on_epoch=lambda epoch: context.record(epoch.figures()),
                progress=context.progress,
                note=notes.append,
                check=context.check,
            )
        return Trained(tuple(history), len(inputs), tuple(notes))

    def schedule(self) -> Schedule:
        """Return how long and how fast to train."""
        from optim.train import Schedule

        return Schedule(
            self.epochs,
            self.batch_size,
            self.learning_rate,
            warmup=self.warmup,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            clip=self.clip,
            optimizer=self.optimizer,
            shape=self.shape,
            l1=self.l1,
            start_resolution=self.start_resolution,
        )

    def stopping(self) -> Stopping:
        """Return which epoch's model is kept."""
        from optim.train import Stopping

        return Stopping(self.keep, self.patience)

    def label_loss(self, context: Context) -> Objective:
        """Return the loss against true labels, smoothed and weighted as the fields say."""
        from optim.train import balanced_weights, label_loss

        task = context.reference.task
        if isinstance(task, Detection):
            self._check_boxes()
        if self.class_weights == "equal":
            return label_loss(task, self.label_smoothing)
        weights = balanced_weights(context.training()[1], task.n_classes)
        return label_loss(task, self.label_smoothing, weights)

    def frozen_layers(self, module: nn.Module) -> tuple[str, ...]:
        """Return the layers, norms among them, that come before the first one that is trained.

        With them the parameters of no layer that are read before it alone, such as the positions of
        a transformer: as long as one of them is trained, gradients run through all frozen layers.
        """
        from optim.layers.graph import COMPUTE, kind_of, nodes_of

        nodes = nodes_of(module)
        layers = [node for node in nodes if node.op == "call_module"]
        compute = [node for node in layers if kind_of(node) in COMPUTE]
        count = int(self.freeze * len(compute))
        if not count:
            return ()
        before = set(nodes[: nodes.index(compute[count])])
        own = dict(module.named_parameters(remove_duplicate=False))
        reads = [node for node in nodes if node.op == "get_attr" and str(node.target) in own]
        trained = {str(node.target) for node in reads if not before.issuperset(node.users)}
        names = [str(node.target) for node in (*layers, *reads) if node in before]
        return tuple(name for name in dict.fromkeys(names) if name not in trained)

    def report(
        self, module: nn.Module, trained: Trained, frozen: Collection[str] = ()
    ) -> StepReport:
        """Return the report on a trained module whose layers have no other story to tell."""
        from optim.layers.rewrite import untreated_layers, weights_of

        layers = tuple(
            LayerReport(
                name, name not in frozen, "frozen by choice" if name in frozen else "trained"
            )
            for name in (*weights_of(module), *untreated_layers(module))
        )
        return StepReport(trained.summary, layers, trained.notes)

    def _decay(self, samples: int) -> float:
        """Return the decay of an average that is as long as wanted."""
        steps = max(1, samples // min(self.batch_size, samples))
        return 1 - 1 / (self.average * steps + 1) if self.average else 0.0

    def _check_boxes(self) -> None:
        """Refuse settings that have no meaning where objects are to be found.

        Raises:
            ConfigError: Naming the field.
        """
        only_classes = {
            "label_smoothing": 0.0,
            "class_weights": "equal",
            "mixup": 0.0,
            "cutmix": 0.0,
            "keep": "last",
            "patience": 0,
            "start_resolution": 1.0,
        }
        for name, off in only_classes.items():
            if (value := getattr(self, name)) != off:
                raise ConfigError(
                    f"{name} must be {off!r} for a model that finds objects: got {value!r}.",
                    hint="It has a meaning only where each sample is of one class.",
                    field=name,
                )

    def _notes(self, images: bool, has_boxes: bool) -> list[str]:
        """Say which settings have no meaning for the data."""
        if has_boxes:
            moves = self.shift or self.flip
            return ["Images were not moved: the boxes would not move along."] if moves else []
        notes = [_SELECTED] if self.stopping().selects else []
        wanted = self.changed()
        idle = [title for name, title in ONLY_IMAGES.items() if wanted.get(name)]
        if images or not idle:
            return notes
        return [
            *notes,
            f"Only images have {' and '.join(idle)}; these samples were left as they are.",
        ]


class TaughtStep(TrainingStep):
    """Base of the techniques that train on labels and on what the original model answers."""

    alpha: Annotated[
        float,
        Range(
            low=0.0,
            high=1.0,
            step=0.05,
            scale="percent",
            label="Soft weight",
            help="Weight of what the original model answers; the rest is the true label's.",
        ),
    ] = 0.5
    temperature: Annotated[
        float,
        Range(
            low=1.0,
            high=10.0,
            step=0.5,
            label="Temperature",
            help="Softens the original model's answers: higher shows more of what it finds second "
            "best.",
            expert=True,
        ),
    ] = 2.0

    def taught_loss(self, context: Context) -> Objective:
        """Return the loss on labels and on the original model's answers."""
        from optim.device import compute_device
        from optim.train import imitation_loss

        hard = self.label_loss(context)
        if self.alpha == 0:
            return hard
        teacher = copy.deepcopy(context.reference.module).to(compute_device()).eval()
        teacher = teacher.requires_grad_(False)
        return imitation_loss(context.reference.task, teacher, self.temperature, self.alpha, hard)


def _in_proportion(pixels: int, inputs: Tensor) -> int:
    """Return pixels of an image of 32 pixels as pixels of images ``(N, C, H, W)``."""
    if inputs.ndim != 4 or not pixels:
        return 0
    return max(1, round(pixels * min(inputs.shape[2:]) / 32))


def _validation(context: Context) -> tuple[Any, Any] | None:
    """Return the validation samples, if the data have any."""
    if context.data is None or "validation" not in context.data.parts:
        return None
    return context.validation()
