"""Run a recipe from beginning to end, and measure single models: the library's verbs.

>>> import optim                                          # doctest: +SKIP
>>> result = optim.run(optim.Recipe.load("recipe.yaml"))  # doctest: +SKIP
>>> print(result.verdict)                                 # doctest: +SKIP
This network is 4.1x smaller and loses 0.6 ± 0.4 points.
>>> result.save("result")                                 # doctest: +SKIP
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optim.data.added import data_cards
from optim.data.dataset import Samples
from optim.data.generated import GENERATED
from optim.data.open import generated_by
from optim.data.splits import Overlap, SplitPolicy, overlap, overlap_note
from optim.errors import ConfigError, ExportError
from optim.export.deliver import Delivery, deliver
from optim.export.deploy import onnx_bytes
from optim.export.targets import target_of
from optim.export.verify import Verification, verify_file
from optim.measure.chance import Check, chance_level, is_near_chance, what_to_check
from optim.measure.costs import static_costs
from optim.measure.evaluate import predict, samples_at_once
from optim.measure.latency import compare_files, latency_of
from optim.measure.predictions import Predictions
from optim.measure.quality import METRICS, Quality, quality, quality_of
from optim.measure.scorecard import Scorecard, ratio
from optim.measure.size import encoded_sizes
from optim.measure.verdict import verdict
from optim.models.bundle import ModelBundle
from optim.models.cards import model_cards
from optim.models.input_spec import InputSpec
from optim.models.zoo import ZOO
from optim.quantity import Comparison, Quantity
from optim.recipe import Entry, Recipe
from optim.runtime.session import runtime_name
from optim.step import Applied, Context, NoResume, Resume, StepReport, apply_step
from optim.storage import write_atomic
from optim.stored import Kept, kept_of, load_stored, store_result
from optim.subject import Subject, check_lanes, check_models, open_subject

__all__ = [
    "WRITTEN",
    "Measured",
    "RunResult",
    "Tracker",
    "apply_recipe",
    "export_recipe",
    "measure",
    "measure_model",
    "relocated",
    "run",
]

WRITTEN = ("recipe.yaml", "scorecard.json", "report.txt", "model.onnx")
"""Files of a result in its folder."""

_AT_CHANCE = "Both are near chance, so that nothing is known of what was lost."
_TO_CHECK = "Accuracy is near chance. What to check:"

Progress = Callable[[float, str], None]
Tracker = Callable[[Entry], tuple[Resume, Callable[[dict[str, float]], None]]]
"""Returns, for one entry of a recipe, where its states are kept and its figures recorded."""


def _silent(share: float, what: str) -> None:
    """Report nothing."""


def _silently(key: str) -> None:
    """Note nothing."""


def _unseen(applied: Applied) -> None:
    """Look at nothing."""


def _untracked(entry: Entry) -> tuple[Resume, Callable[[dict[str, float]], None]]:
    """Keep no states and no figures."""
    return NoResume(), lambda figures: None


def _within(progress: Progress, start: float, share: float) -> Progress:
    """Return a progress that fills only a part of another one."""

    def report(done: float, what: str) -> None:
        progress(start + share * done, what)

    return report


@dataclass(frozen=True, eq=False)
class RunResult:
    """What a recipe did.

    Attributes:
        recipe: What was run.
        subject: The model and data it was about.
        bundle: The resulting model.
        reports: ``{entry id: report}``.
        baseline: The original model's figures.
        scorecard: The result's figures.
        quality: The result beside the original, on the same samples.
        size_change: Ratio of the files' bytes.
        latency_change: Ratio of the files' times, measured in turns.
        verification: What the exported file does in its runtime.
        file: The exported file itself.
        base: Folder that the recipe's files are relative to.
        is_near_chance: Whether original and result both do hardly better than guessing.
        checks: What to check between model and data then; empty for weights that were never
            trained.
    """

    recipe: Recipe
    subject: Subject
    bundle: ModelBundle
    reports: Mapping[str, StepReport]
    baseline: Scorecard
    scorecard: Scorecard
    quality: Quality
    size_change: Comparison
    latency_change: Comparison
    verification: Verification
    file: bytes
    base: Path = Path()
    is_near_chance: bool = False
    checks: tuple[Check, ...] = ()

    @property
    def verdict(self) -> str:
        """The result in one sentence; in two where it shows nothing about what was lost."""
        found = verdict(self.quality, self.size_change, self.latency_change)
        return f"{found} {_AT_CHANCE}" if self.is_near_chance else found

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know about the data, and how the model goes with them."""
        own = self.subject.data.notes
        if not self.checks:
            return own
        return (*own, " ".join([_TO_CHECK, *(check.sentence for check in self.checks)]))

    def to_json(self) -> dict[str, Any]:
        """Return plain data with stable keys; see ``docs/schemas/scorecard-1.json``."""
        return {
            "schema": "optim.scorecard/1",
            "verdict": self.verdict,
            "model": self.recipe.model,
            "data": self.recipe.data,
            "part": self.subject.part,
            "overlap": self.subject.overlap,
            "notes": list(self.notes),
            **({"checks": [check.to_json() for check in self.checks]} if self.checks else {}),
            "baseline": self.baseline.to_json(),
            "result": self.scorecard.to_json(),
            "change": {
                "accuracy": None,
                **self._quality_change(),
                "file": self.size_change.to_json(),
                "latency": self.latency_change.to_json(),
            },
            "verification": self.verification.to_json(),
            "steps": {entry: report.to_json() for entry, report in self.reports.items()},
        }

    def _quality_change(self) -> dict[str, Any]:
        if self.quality.change is None:
            return {}
        name = "mse" if self.quality.primary == "r2" else self.quality.primary
        return {name: self.quality.change.to_json()}

    def report(self) -> str:
        """Return the result as text for a reader."""
        lines = [self.verdict, ""]
        rows = [
            *(
                (METRICS[name].short, self.baseline.quality.get(name), figure)
                for name, figure in self.scorecard.quality.items()
            ),
            ("file", self.baseline.file, self.scorecard.file),
            ("latency", self.baseline.latency, self.scorecard.latency),
            ("MACs", self.baseline.macs, self.scorecard.macs),
            ("parameters", self.baseline.params, self.scorecard.params),
            *(
                (f"size, {name}", self.baseline.sizes[name], self.scorecard.sizes[name])
                for name in self.scorecard.sizes
            ),
        ]
        for name, before, after in rows:
            how = f"({after.how})" if after else ""
            lines.append(
                f"{name:16} {'' if before is None else before!s:>22} -> {after!s:<22} {how}"
            )
        part = self.subject.part
        count = next((figure.n for figure in self.scorecard.quality.values() if figure.n), 0)
        lines += ["", f"Quality of both on the same {count:,} samples, part {part}."]
        if note := overlap_note(self.subject.overlap, part):
            lines.append(f"Note: {note}")
        if self.subject.data.is_generated:
            lines += [f"Note: {note}" for note in self.subject.data.notes]
        if self.checks:
            lines += [f"Note: {_TO_CHECK}", *(f"  - {check.sentence}" for check in self.checks)]
        lines.append(f"Verified in {self.verification.runtime}: {self.verification.found}.")
        for entry, step in self.reports.items():
            lines += ["", f"{entry}: {step.summary}", *(f"  note: {note}" for note in step.notes)]
            lines += [
                f"  {layer.layer:32} {'' if layer.touched else 'skipped: '}{layer.detail}"
                for layer in step.layers
            ]
        return "\n".join(lines) + "\n"

    def save(self, folder: str | Path) -> Path:
        """Write the files of :data:`WRITTEN`.

        The recipe's relative files are written so that they are found from the folder.

        Raises:
            ExportError: If the folder cannot be written.
            ParityError: If the file does not do in its runtime what was simulated; everything
                but the file is then still written.
        """
        folder = Path(folder)
        try:
            recipe = relocated(self.recipe, self.base, folder)
            written, scorecard, report, file = (folder / name for name in WRITTEN)
            write_atomic(written, recipe.to_yaml().encode())
            scores = json.dumps(self.to_json(), indent=1) + "\n"
            write_atomic(scorecard, scores.encode())
            write_atomic(report, self.report().encode())
            # What an earlier run left there must not pass for this result.
            file.unlink(missing_ok=True)
            self.verification.require()
            write_atomic(file, self.file)
        except OSError as error:
            raise ExportError(
                f"{folder.name!r} cannot be written: {error.strerror}.",
                hint="Choose another folder, or free some space.",
            ) from error
        return folder


def run(
    recipe: Recipe,
    *,
    base: str | Path = ".",
    spec: InputSpec | None = None,
    registered_only: bool = False,
    progress: Progress = _silent,
    check: Callable[[], None] = lambda: None,
    stored: bool = False,
    tracker: Tracker = _untracked,
    trained: Callable[[str], None] = _silently,
) -> RunResult:
    """Apply a recipe, export the result, and measure both models on the same samples.

    Args:
        recipe: What to do.
        base: Folder that the recipe's files are relative to.
        spec: Replaces the input normalisation the model brings.
        registered_only: Whether only registered names are opened, as for a recipe from anybody.
        progress: Called with a share in 0..1 and what is being done.
        check: Called at safe points; raises to stop.
        stored: See :func:`apply_recipe`.
        tracker: See :func:`apply_recipe`.
        trained: See :func:`apply_recipe`.

    Raises:
        OptimError: Naming what is wrong with the recipe, the model or the data.
    """
    progress(0.0, "opening model and data")
    subject = open_subject(recipe, base=Path(base), spec=spec, registered_only=registered_only)
    bundle, reports = apply_recipe(
        recipe,
        subject,
        progress=_within(progress, 0.05, 0.65),
        check=check,
        stored=stored,
        tracker=tracker,
        trained=trained,
    )
    samples = subject.samples()
    progress(0.7, "measuring the original")
    before, first = measure(subject.bundle, samples, check=check)
    progress(0.8, "measuring the result")
    after, second = measure(bundle, samples, check=check)
    judged = quality(second, first, bundle.task)
    at_chance = is_near_chance(first) and is_near_chance(second)
    checks = _checks(subject, samples, check) if at_chance else ()
    progress(0.9, "verifying the file")
    more = subject.data.part("train") if subject.data.is_split else None
    file = onnx_bytes(bundle, recipe.to_link())
    verification = verify_file(file, bundle, samples, more=more, check=check)
    progress(0.95, "measuring latency")
    one = subject.bundle.spec.normalise(samples.inputs[:1]).numpy()
    original, interface = onnx_bytes(subject.bundle), subject.bundle.interface
    pair = compare_files(original, file, one, threads=1, interface=interface, check=check)
    progress(1.0, "done")
    conditions = {"runtime": verification.runtime, "batch_size": 1, "threads": 1}
    assert before.file is not None
    return RunResult(
        recipe=recipe,
        subject=subject,
        bundle=bundle,
        reports=reports,
        baseline=replace(before, latency=pair.baseline, conditions=conditions),
        scorecard=replace(
            after,
            quality=judged.figures,
            file=verification.size,
            latency=pair.candidate,
            conditions=conditions,
        ),
        quality=judged,
        size_change=ratio(before.file, verification.size),
        latency_change=pair.change,
        verification=verification,
        file=file,
        base=Path(base),
        is_near_chance=at_chance,
        checks=checks,
    )


def _checks(subject: Subject, samples: Samples, check: Callable[[], None]) -> tuple[Check, ...]:
    """Return what to check where a model is near chance; of fresh weights nothing is expected."""
    if subject.bundle.provenance.seen == ():
        return ()
    return tuple(what_to_check(subject.bundle, subject.data, samples, check=check))


def export_recipe(
    recipe: Recipe,
    target: str,
    *,
    base: str | Path = ".",
    progress: Progress = _silent,
    check: Callable[[], None] = lambda: None,
) -> Delivery:
    """Apply a recipe and write the result as one kind of file, verified in its runtime.

    Args:
        recipe: What to do.
        target: A key of ``TARGETS``.
        base: Folder that the recipe's files are relative to.
        progress: Called with a share in 0..1 and what is being done.
        check: Called at safe points; raises to stop.

    Raises:
        OptimError: Naming what is wrong with the recipe, or why the file cannot be made.
        ParityError: If the file does not do in its runtime what was simulated.
    """
    target_of(target)
    progress(0.0, "opening model and data")
    subject = open_subject(recipe, base=Path(base))
    bundle, _ = apply_recipe(recipe, subject, progress=_within(progress, 0.05, 0.65), check=check)
    samples = subject.samples()
    made = deliver(
        bundle,
        recipe,
        target,
        samples,
        more=subject.data.part("train") if subject.data.is_split else None,
        progress=_within(progress, 0.7, 0.3),
        check=check,
    )
    accuracy = made.verification.accuracy
    if accuracy is None or accuracy.value >= chance_level(samples.targets, bundle.task.n_classes):
        return made
    # Only then is the original run: where it is better, it was the recipe that took it there.
    if not is_near_chance(predict(subject.bundle, samples, check=check)):
        return made
    return replace(made, checks=_checks(subject, samples, check))


def relocated(recipe: Recipe, base: Path, folder: Path) -> Recipe:
    """Return a recipe whose relative files are found from another folder.

    Args:
        recipe: Names a model and data.
        base: Folder that its files are relative to.
        folder: Folder that they shall be relative to.
    """

    def moved(ref: str) -> str:
        path = Path(ref).expanduser()
        if path.is_absolute() or ref.startswith("hf://"):
            return ref
        return Path(os.path.relpath(base / path, folder)).as_posix()

    model, data = recipe.model, recipe.data
    architecture, colon, file = model.partition(":")
    if colon and architecture in ZOO:
        model = f"{architecture}:{moved(file)}"
    elif model not in ZOO and model not in model_cards():
        model = moved(model)
    if data.partition("?")[0] not in data_cards():
        data = moved(data)
    return replace(recipe, model=model, data=data)


def apply_recipe(
    recipe: Recipe,
    subject: Subject,
    *,
    progress: Progress = _silent,
    check: Callable[[], None] = lambda: None,
    stored: bool = False,
    tracker: Tracker = _untracked,
    trained: Callable[[str], None] = _silently,
    seen: Callable[[Applied], None] = _unseen,
) -> tuple[ModelBundle, dict[str, StepReport]]:
    """Apply the active steps of a recipe in order.

    Args:
        recipe: The steps.
        subject: The model and data they are applied to.
        progress: Called with a share in 0..1 and what is being done.
        check: Called at safe points; raises to stop.
        stored: Whether what was trained before is taken instead of trained again, and what is
            trained is kept (see :mod:`optim.stored`).
        tracker: Says for each training step where its states and figures go.
        trained: Called with the key of each stored result that was taken or kept.
        seen: Called with what each step gives.

    Returns:
        The resulting model and ``{entry id: report}``.

    Raises:
        ConfigError: If a step names a model that is not there or does not fit.
    """
    check_models(recipe, subject.bundle)
    check_lanes(recipe, subject.bundle)
    bundle, reports = subject.bundle, {}
    active = recipe.active
    chain = recipe.chain(subject.bundle.hash, subject.data.hash)
    keys, kept = chain[1:], kept_of(recipe, chain) if stored else Kept()
    for i, entry in enumerate(active):
        check()
        start, share = i / len(active), 1 / len(active)
        progress(start, entry.step.title)
        if i in kept.passed_over:
            reports[entry.id] = StepReport(
                f"{entry.step.title}: part of what was trained later and stored."
            )
            continue
        keeps = stored and entry.step.cost == "training"
        if keeps and (found := load_stored(keys[i], subject.bundle)):
            bundle = found
            trained(keys[i])
            reports[entry.id] = StepReport(f"{entry.step.title}: trained before and stored.")
            continue
        resume, record = tracker(entry) if entry.step.cost == "training" else _untracked(entry)
        context = Context(
            data=subject.data,
            reference=subject.bundle,
            seed=recipe.seed,
            step_id=entry.id,
            progress=_within(progress, start, share),
            check=check,
            resume=resume,
            record=record,
        )
        applied = apply_step(entry.step, bundle, context)
        seen(applied)
        bundle, reports[entry.id] = applied.bundle, applied.report
        if keeps:
            store_result(keys[i], bundle)
            trained(keys[i])
    return bundle, reports


def measure(
    bundle: ModelBundle, samples: Samples, *, check: Callable[[], None] = lambda: None
) -> tuple[Scorecard, Predictions]:
    """Measure one model on samples: quality, cost, and the bytes of its file.

    Latency is left out: :func:`run` measures it beside the original, :func:`measure_model` alone.
    """
    predictions = predict(bundle, samples, check=check)
    file = Quantity.exact(len(onnx_bytes(bundle)), "bytes")
    alone = quality_of(predictions, bundle.task)
    params, macs, sparsity = static_costs(bundle)
    return Scorecard(
        quality=alone.figures,
        primary=alone.primary,
        params=params,
        macs=macs,
        sparsity=sparsity,
        sizes=encoded_sizes(bundle, check),
        file=file,
    ), predictions


@dataclass(frozen=True, eq=False)
class Measured:
    """One model, measured on one part of its data.

    Attributes:
        subject: The model and its data.
        part: The part that was measured.
        overlap: Whether the model was trained on samples of that part.
        scorecard: All figures, latency included.
        predictions: The outputs behind the accuracy.
        file: The model's ONNX file.
    """

    subject: Subject
    part: str
    overlap: Overlap
    scorecard: Scorecard
    predictions: Predictions
    file: bytes

    def to_json(self) -> dict[str, Any]:
        """Return plain data with stable keys; see ``docs/schemas/measure-1.json``."""
        return {
            "schema": "optim.measure/1",
            "model": self.subject.bundle.name,
            "data": self.subject.data.title,
            "task": self.subject.bundle.task.kind,
            "part": self.part,
            "overlap": self.overlap,
            "notes": list(self.subject.data.notes),
            **self.scorecard.to_json(),
        }


def measure_model(
    model: str,
    data: str = GENERATED,
    *,
    original: str | None = None,
    part: str | None = None,
    seed: int = 0,
    split: SplitPolicy = "auto",
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
    batch_size: int = 1,
    threads: int = 1,
    base: str | Path = ".",
    trust: bool = False,
    progress: Progress = _silent,
) -> Measured:
    """Measure a model by name or file, its latency in ONNX Runtime included.

    An ONNX file is measured as it is, whether or not it could be changed.

    Args:
        model: As in a recipe: a name, ``zoo-name:weights-file``, or a file.
        data: As in a recipe: a built-in name, a zip, or a folder.
        original: A model to be compared with on the same samples, so that there are figures of
            quality without labels.
        part: Which part; validation if None, or all samples of data without parts.
        seed: Decides how data without a validation part are split.
        split: Where validation samples come from then, see ``optim.data.splits``.
        normalisation: Mean and standard deviation of the channels, in place of the model's.
        batch_size: Samples in one timed inference.
        threads: Threads of one timed inference.
        base: Folder that relative files are looked up in.
        trust: Whether a model that is a program may be run to open it.
        progress: Called with a share in 0..1 and what is being done.

    Raises:
        OptimError: Naming what is wrong with the model, the data or the part.
    """
    progress(0.0, "opening model and data")
    if generated_by(data) and original is None:
        # Nothing is learned from what a model alone says about them, but that it runs.
        data = f"{GENERATED}?samples={-(-max(batch_size, 16) // 16) * 16}"
    recipe = Recipe(model, data, seed=seed, split=split)
    subject = open_subject(recipe, base=Path(base), as_graph=True, trust=trust)
    reference = open_subject(replace(recipe, model=original), base=Path(base)) if original else None
    if reference is not None and reference.data.is_generated:
        subject = replace(subject, data=reference.data)
    if normalisation is not None:
        if subject.data.is_generated:
            raise ConfigError(
                "mean and std say how samples are read; generated inputs are made as the model "
                "takes them.",
                hint="Name data, or leave mean and std out.",
                field="mean",
            )
        spec = replace(subject.bundle.spec, mean=normalisation[0], std=normalisation[1])
        subject = replace(subject, bundle=replace(subject.bundle, spec=spec))
    part = part or subject.part
    if part not in subject.data.parts:
        allowed = ", ".join(subject.data.parts)
        raise ConfigError(f"part must be one of {allowed}: got part={part!r}.", field="part")
    samples = subject.samples(part)
    batches, done = math.ceil(len(samples) / samples_at_once(subject.bundle)), itertools.count()

    def tick() -> None:
        share = min(1.0, next(done) / batches)
        progress(0.1 + 0.7 * share, f"measuring on {len(samples):,} samples")

    scorecard, predictions = measure(subject.bundle, samples, check=tick)
    if reference is not None:
        beside = quality(
            predictions, predict(reference.bundle, samples, check=tick), reference.bundle.task
        )
        scorecard = replace(scorecard, quality=beside.figures)
    progress(0.9, "measuring latency")
    file = onnx_bytes(subject.bundle)
    inputs = subject.bundle.spec.normalise(samples.inputs[:batch_size]).numpy()
    conditions = {"runtime": runtime_name(), "batch_size": len(inputs), "threads": threads}
    latency = latency_of(file, inputs, threads, interface=subject.bundle.interface)
    progress(1.0, "done")
    return Measured(
        subject,
        part,
        overlap(subject.data, part, subject.bundle.provenance.seen),
        replace(scorecard, latency=latency, conditions=conditions),
        predictions,
        file,
    )
