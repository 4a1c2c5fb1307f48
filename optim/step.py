"""A Step: one change to a model, declared once.

A technique is one class. Its fields are its sliders, its validation, its YAML, its search space,
its command-line help and its reference page; :meth:`Step.apply` does the work. A Step never
changes what it is given: it returns a new bundle and a report of every layer, touched by how much,
or skipped and why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

import numpy as np

from optim.data.task import NO_LABEL, Classification, Detection
from optim.errors import CalibrationError
from optim.fields import Config
from optim.hashing import digest

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from optim.data.dataset import Dataset, Samples
    from optim.models.bundle import ModelBundle

__all__ = [
    "Applied",
    "Context",
    "LayerReport",
    "Memo",
    "NoResume",
    "Resume",
    "Step",
    "StepReport",
    "apply_step",
    "no_memo",
    "outline_step",
    "refusal",
]

T = TypeVar("T")


@dataclass(frozen=True)
class LayerReport:
    """What a Step did to one layer.

    Attributes:
        layer: Dotted path.
        touched: Whether anything changed.
        detail: What was done, or the reason nothing was.
        amount: Share of the layer concerned, in 0..1, where that makes sense.
    """

    layer: str
    touched: bool
    detail: str
    amount: float | None = None


@dataclass(frozen=True)
class StepReport:
    """What a Step did to a model.

    Attributes:
        summary: One sentence.
        layers: One entry a layer with weights, in order of execution.
        notes: Anything a reader must know, such as a limit that was met.
    """

    summary: str
    layers: tuple[LayerReport, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Applied:
    """Result of applying a Step.

    Attributes:
        bundle: The new model.
        report: What was done to it.
        kept: ``{(layer, "in" or "out"): positions}`` of the channels that stayed, for every side of
            a layer that lost some.
    """

    bundle: ModelBundle
    report: StepReport
    kept: Mapping[tuple[str, str], Tensor] = field(default_factory=dict)


class Memo(Protocol):
    """Remembers intermediate results that several settings of a Step share."""

    def __call__(self, key: str, compute: Callable[[], T]) -> T:
        """Return what ``compute`` gives, from memory if ``key`` is known."""
        ...


def no_memo(key: str, compute: Callable[[], T]) -> T:
    """Compute every time."""
    return compute()


class Resume(Protocol):
    """Lets a training step go on where an earlier attempt was stopped."""

    def load(self) -> dict[str, Any] | None:
        """Return the state that was saved last, tensors and plain values; None at first."""
        ...

    def save(self, state: dict[str, Any]) -> None:
        """Keep a state; the one before stays until this one is safely written."""
        ...

    def due(self) -> bool:
        """Whether so much time has passed that a state in mid-epoch should be saved as well."""
        ...


class NoResume:
    """Remembers nothing: a stopped step starts again."""

    def load(self) -> dict[str, Any] | None:
        """Return None."""
        return None

    def save(self, state: dict[str, Any]) -> None:
        """Forget the state."""

    def due(self) -> bool:
        """Return False."""
        return False


@dataclass(frozen=True, eq=False)
class Context:
    """What a Step may use besides the model.

    Attributes:
        data: Where calibration and training samples come from; never its test part.
        reference: The recipe's original model, the default teacher.
        seed: The recipe's seed.
        step_id: Identity of the recipe entry being applied.
        sample_limit: Calibrate on at most this many samples; the result is then a draft.
        progress: Called with a share in 0..1 and a word about what is going on.
        check: Called at safe points; raises :class:`~optim.errors.Cancelled` to stop.
        memo: See :class:`Memo`.
        resume: See :class:`Resume`.
        record: Called once an epoch by steps that train, with figures by name: ``epoch``, ``loss``,
            ``accuracy`` on validation samples, ...
    """

    data: Dataset | None
    reference: ModelBundle
    seed: int = 0
    step_id: str = ""
    sample_limit: int | None = None
    progress: Callable[[float, str], None] = lambda share, what: None
    check: Callable[[], None] = lambda: None
    memo: Memo = no_memo
    resume: Resume = NoResume()
    record: Callable[[dict[str, float]], None] = lambda figures: None

    @property
    def key(self) -> str:
        """Identity of all that a step may draw from: data, seed, recipe entry, draft.

        Whatever a step remembers of samples or random numbers goes under a key with this in it.
        """
        data_hash = self.data.hash if self.data else ""
        return digest(data_hash, self.seed, self.step_id, self.sample_limit)

    def generator(self) -> torch.Generator:
        """Return a generator that depends on the recipe's seed and this entry alone."""
        import torch

        seed = int(digest(self.seed, self.step_id)[:15], 16)
        return torch.Generator().manual_seed(seed)

    def calibration(self, count: int) -> tuple[Tensor, Tensor]:
        """Return normalised inputs ``(n, ...)`` and targets ``(n,)`` for calibration.

        The samples come from the training part, or from all of an unsplit data set; they are the
        first ``n`` of a stratified order, so that more samples always include fewer.

        Args:
            count: Samples wanted; fewer are returned if there are fewer, or if a draft is made.

        Raises:
            CalibrationError: If there is no data, or nothing varies in it.
        """
        import torch

        from optim.data.splits import stratified_order

        if self.data is None:
            raise CalibrationError(
                "This step calibrates on samples, and no data set was given.",
                hint="Name one, as in data: cluttered-digits.",
            )
        samples: Samples = self.data.part(self._calibrating)
        order = self.memo(
            f"order:{self.data.hash}:{self.seed}",
            lambda: stratified_order(self._varied(samples).targets, self.seed),
        )
        chosen = samples.take(order[: min(count, self.sample_limit or count)])
        x = self.memo(
            f"calibration:{self.data.hash}:{self.seed}:{len(chosen)}:{self.reference.spec}",
            lambda: self.reference.spec.normalise(chosen.inputs),
        )
        return x, torch.from_numpy(chosen.targets.copy())

    def shortage(self, count: int) -> str:
        """Say that there are fewer samples to calibrate on than wanted; empty if there are enough.

        Args:
            count: Samples wanted; of a draft nothing is said.
        """
        if self.data is None or self.sample_limit is not None:
            return ""
        part = self._calibrating
        n = self.data.parts[part]
        where = "training part has" if part == "train" else "data have"
        return (
            f"Calibrated on {n:,} sample{'s' * (n > 1)}: {count:,} were asked for, and the {where} "
            "no more."
            if n < count
            else ""
        )

    @property
    def _calibrating(self) -> str:
        """The part that samples for calibration come from."""
        return "train" if self.data is not None and self.data.is_split else "all"

    def _varied(self, samples: Samples) -> Samples:
        """Return the samples a step looks at, unless nothing can be seen in them.

        All the same they say nothing about a model's inputs; all of one class, what is kept or
        rounded by them fits that class alone. Usually a file was read or parted wrongly.

        Raises:
            CalibrationError: If all are the same, or of one of several classes.
        """
        assert self.data is not None
        title, n, first = self.data.title, len(samples), samples.inputs[0]
        # Two that differ settle it: ordinarily the second sample is the last one looked at.
        if n > 1 and all(np.array_equal(one, first) for one in samples.inputs[1:]):
            raise CalibrationError(
                f"All {n:,} samples to calibrate on in {title} are the same.",
                hint="Bring samples such as the model will see. The page 'Use my model' shows how "
                "a file is read.",
            )
        labels, task = samples.targets, self.data.task
        tells_classes = isinstance(task, Classification) and task.n_classes > 1
        if tells_classes and labels[0] != NO_LABEL and labels.min() == labels.max():
            which = f"All {n:,} samples" if n > 1 else "The only sample"
            raise CalibrationError(
                f"{which} to calibrate on in {title} {'are' if n > 1 else 'is'} of one "
                f"class, {task.class_names[int(labels[0])]!r}.",
                hint="Bring training samples of at least two classes, or read them without "
                "labels: target=none.",
            )
        return samples

    def seen(self) -> tuple[str, ...]:
        """Return what a model has seen once it was trained on :meth:`training`."""
        from optim.data.splits import trained_on

        assert self.data is not None
        return trained_on(self.data)

    def training(self) -> tuple[Tensor, Tensor]:
        """Return all normalised training inputs ``(N, ...)`` and targets ``(N,)``.

        Raises:
            CalibrationError: If there is no data set, or one without a training part.
        """
        if self.data is None or not self.data.is_split:
            raise CalibrationError(
                "This step trains, and the data set has no training part.",
                hint="Use data with train and test parts, or have them drawn: own.npz?split=made.",
            )
        self.require_labels()
        return self._tensors("train")

    def require_labels(self) -> None:
        """Refuse models and data that tell neither classes nor objects.

        Raises:
            CalibrationError: Naming the one that tells none.
        """
        task = self.data.task if self.data else self.reference.task
        if not isinstance(task, Detection):
            self.require_classes()

    def require_classes(self) -> None:
        """Refuse models and data that tell no classes.

        Raises:
            CalibrationError: Naming the one that tells none.
        """
        if not isinstance(self.reference.task, Classification):
            raise CalibrationError(
                f"This step trains classifiers, and {self.reference.name} tells no classes.",
                hint="Pruning, quantization and bias correction work without.",
            )
        if self.data is not None and not isinstance(self.data.task, Classification):
            raise CalibrationError(
                f"This step trains on labels, and {self.data.title} has none that are classes.",
                hint="Pruning, quantization and bias correction work without.",
            )

    def validation(self) -> tuple[Tensor, Tensor]:
        """Return all normalised validation inputs ``(N, ...)`` and targets ``(N,)``.

        Raises:
            CalibrationError: If there is no data set, or one without a validation part.
        """
        if self.data is None or "validation" not in self.data.parts:
            raise CalibrationError(
                "This step selects on validation samples, and the data set has none.",
                hint="Use data with train and test parts, or have them drawn: own.npz?split=made.",
            )
        return self._tensors("validation")

    def _tensors(self, part: str) -> tuple[Tensor, Tensor]:
        import torch

        assert self.data is not None
        samples = self.data.part(part)
        targets = torch.from_numpy(samples.targets.copy())
        return self.reference.spec.normalise(samples.inputs), targets


def refusal(step: Step | type[Step], lane: str, note: str, task: str = "") -> str:
    """Say why a step cannot change a model.

    Args:
        step: The step, or its class.
        lane: ``"torch"`` or ``"graph"``, see ``ModelBundle.lane``.
        note: Why the model is in that lane.
        task: What the model is for, the ``kind`` of its task; empty if nobody knows.

    Returns:
        A sentence; empty if the step can.
    """
    if lane not in step.lanes:
        return f"{step.title!r} needs layers that torch can train. {note}".strip()
    if task and step.tasks and task not in step.tasks:
        return f"{step.title!r} is for {' and '.join(sorted(step.tasks))}, not for {task}."
    return ""


class Step(Config):
    """Base of all techniques. See ``optim/techniques/__init__.py`` for how to add one."""

    title: ClassVar[str]
    about: ClassVar[str]
    """One sentence: what it does and what it is good for."""
    paper: ClassVar[str] = ""
    cost: ClassVar[Literal["instant", "calibrated", "training"]]
    """Whether it needs nothing, a few samples, or training."""
    lanes: ClassVar[frozenset[str]] = frozenset({"torch"})
    """Kinds of model it can treat: ``torch`` modules, ONNX ``graph`` files."""
    sketches: ClassVar[bool] = False
    """Whether :meth:`outline` takes models without numbers, see :mod:`optim.layers.sketch`."""
    tasks: ClassVar[frozenset[str]] = frozenset()
    """Kinds of task whose models it can treat; empty for all."""
    formerly: ClassVar[Mapping[str, Any]] = {}
    """First defaults of fields that have others today, for :attr:`identity`."""
    requires: ClassVar[frozenset[str]] = frozenset({"float"})
    """Conditions that must hold before it: ``float`` or ``quantized`` weights."""
    ensures: ClassVar[frozenset[str]] = frozenset()
    """Conditions that hold after it, besides those it leaves alone. Some are work that others can
    undo: ``bn_measured``, ``recovered`` by training, ``bias_corrected``; see :mod:`optim.order`."""
    removes: ClassVar[frozenset[str]] = frozenset()
    """Conditions that no longer hold after it."""

    @property
    def identity(self) -> dict[str, Any]:
        """The fields that differ from the defaults they had at first, as plain data.

        Hashes are made of it: a technique may gain fields, and a default may change, and what was
        made before is still found, and nothing else is taken for it.
        """
        fields = {n: value for n, value in self.changed().items() if n not in self.formerly}
        now = self.model_dump(mode="json", include=set(self.formerly))
        return fields | {n: value for n, value in now.items() if value != self.formerly[n]}

    def apply(self, bundle: ModelBundle, context: Context) -> Applied:
        """Return a new bundle and a report; ``bundle`` is unchanged."""
        raise NotImplementedError

    def outline(self, bundle: ModelBundle, context: Context) -> ModelBundle:
        """Return a model of the sizes, bits and zeros that :meth:`apply` would give.

        No sample is looked at: what would be calibrated stays as it is, or is guessed.
        """
        return self.apply(bundle, context).bundle

    @property
    def is_neutral(self) -> bool:
        """Whether these settings change nothing, so that the step can be skipped."""
        return False

    @property
    def looks_at_data(self) -> bool:
        """Whether these settings make the result depend on samples."""
        return self.cost != "instant"

    @property
    def calibration_passes(self) -> int:
        """Samples that :meth:`apply` runs through the model, or about as much work; 0 if none.

        Where that is more than a moving slider can wait for, a draft is made first.
        """
        return int(getattr(self, "samples", 0)) if self.cost == "calibrated" else 0

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the trained models it uses besides the recipe's own."""
        return ()


def apply_step(step: Step, bundle: ModelBundle, context: Context) -> Applied:
    """Apply a step to a model that may have come quantized.

    A step that changes floating-point weights is given them without the grids, and its report says
    so. These can only be grids that the model came with: behind a step that quantizes, such steps
    are refused (see :mod:`optim.order`). Settings of single layers that an earlier step took out of
    the original are left out, and the report says so.
    """
    given = _fit_for(step, bundle)
    step, gone = _of_present_layers(step, bundle, context)
    applied = step.apply(given, context)
    notes = []
    if given is not bundle:
        notes.append(
            "The model came quantized. This changed the floating-point weights its integers stand "
            "for; the grids it came with are gone."
        )
    if gone:
        notes.append(f"An earlier step removed {', '.join(gone)}: what was set for it is left out.")
    if not notes:
        return applied
    report = replace(applied.report, notes=(*applied.report.notes, *notes))
    return replace(applied, report=report)


def outline_step(step: Step, bundle: ModelBundle, context: Context) -> ModelBundle:
    """Outline what :func:`apply_step` would give."""
    step, _ = _of_present_layers(step, bundle, context)
    return step.outline(_fit_for(step, bundle), context)


def _of_present_layers(
    step: Step, bundle: ModelBundle, context: Context
) -> tuple[Step, tuple[str, ...]]:
    """Return a step without the settings of layers that only the original still has, and these."""
    named: Mapping[str, Any] = getattr(step, "layers", None) or {}
    original = context.reference
    if not named or "graph" in (bundle.lane, original.lane):
        return step, ()
    before, now = (dict(one.module.named_modules()) for one in (original, bundle))
    gone = tuple(name for name in named if name in before and name not in now)
    if not gone:
        return step, ()
    return step.replace(layers={k: v for k, v in named.items() if k not in gone}), gone


def _fit_for(step: Step, bundle: ModelBundle) -> ModelBundle:
    wants_floats = "float" in step.requires and bundle.table.is_quantized
    return bundle.without_grids() if wants_floats else bundle
