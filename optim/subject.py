"""What a recipe is about: its opened model and its data, split so that selection is honest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from optim.data import DATASETS, open_data
from optim.data.added import data_cards, open_registered_data
from optim.data.applied import as_quantities, without_labels
from optim.data.dataset import Dataset, Samples
from optim.data.open import generated_by
from optim.data.options import Normalisation, joined_names
from optim.data.preview import numbers_agree
from optim.data.splits import SplitPolicy, overlap, stratified_order, with_validation
from optim.data.task import Classification, Detection, Outputs, Regression
from optim.errors import ConfigError, DataError, UnsupportedModelError
from optim.hashing import digest
from optim.measure.generated import generated_data
from optim.models.bundle import ModelBundle
from optim.models.input_spec import InputSpec
from optim.models.open import check_pair, open_model, open_registered_model
from optim.models.zoo import ZOO
from optim.recipe import Recipe
from optim.step import Step, refusal
from optim.techniques import TECHNIQUES

__all__ = [
    "Subject",
    "check_fit",
    "check_lanes",
    "check_models",
    "fitting_data",
    "open_any_data",
    "open_subject",
    "order_note",
    "refusals",
    "subject_of",
]


@dataclass(frozen=True, eq=False)
class Subject:
    """An opened model and its data.

    Attributes:
        bundle: The model before any step.
        data: With train, validation and test parts, or unsplit.
        part: The part that selects: ``"validation"``, or ``"all"`` of unsplit data.
        overlap: Whether the model was trained on samples of that part.
        seed: Decides the order in which samples are measured.
    """

    bundle: ModelBundle
    data: Dataset
    part: str
    overlap: Literal["unseen", "unknown", "seen"]
    seed: int

    @property
    def hash(self) -> str:
        """Identity of model, data and order."""
        return digest(self.bundle.hash, self.data.hash, self.part, self.seed)

    def samples(self, part: str | None = None) -> Samples:
        """Return the samples of a part in a stratified order: every prefix is a fair sample."""
        samples = self.data.part(part or self.part)
        return samples.take(stratified_order(samples.targets, self.seed))


def open_subject(
    recipe: Recipe,
    *,
    base: Path = Path(),
    spec: InputSpec | None = None,
    registered_only: bool = False,
    as_graph: bool = False,
    trust: bool = False,
) -> Subject:
    """Open the model and the data of a recipe.

    Args:
        recipe: Names both, the split and the seed.
        base: Folder that relative files are looked up in.
        spec: Replaces the input normalisation the model brings.
        registered_only: Whether only registered names are allowed, and fresh networks of the zoo on
            generated inputs, as for a link from anybody.
        as_graph: Whether an ONNX file stays as it is, to be measured, even if it could be trained.
        trust: Whether a model that is a program may be run to open it.

    Raises:
        UnsupportedModelError: If the model cannot be opened.
        DataError: If the data cannot be opened or do not fit the model.
    """
    made = generated_by(recipe.data)
    # A fresh network on generated inputs names nothing that lies on this machine.
    is_fresh = recipe.model in ZOO and made is not None
    if registered_only and not is_fresh:
        data = None if made else open_registered_data(recipe.data)
        bundle = open_registered_model(recipe.model)
    else:
        data = None if made else open_any_data(recipe.data, base)
        bundle = open_model(
            recipe.model, base=base, data=data, seed=recipe.seed, as_graph=as_graph, trust=trust
        )
    if data is None:
        assert made is not None
        bundle = replace(bundle, spec=spec or bundle.spec)
        data = generated_data(bundle, made, recipe.data)
    return subject_of(bundle, data, split=recipe.split, seed=recipe.seed, spec=spec)


def subject_of(
    bundle: ModelBundle,
    data: Dataset,
    *,
    split: SplitPolicy = "auto",
    seed: int = 0,
    spec: InputSpec | None = None,
) -> Subject:
    """Put a model and data that are open together.

    Args:
        bundle: The model.
        data: The data; their options change the model's input where they say so.
        split: Where validation comes from if the data have none.
        seed: Decides that, and the order of the samples.
        spec: Replaces the input normalisation of both.

    Raises:
        DataError: If they do not fit.
    """
    spec = spec or _spec_of(bundle, data)
    if spec != bundle.spec:
        bundle = replace(bundle, spec=spec)
    data = fitting_data(bundle, data)
    seen = bundle.provenance.seen
    data = with_validation(data, seen=seen, policy=split, seed=seed)
    part = "validation" if data.is_split else "all"
    return Subject(bundle, data, part, overlap(data, part, seen), seed)


def open_any_data(ref: str, base: Path = Path()) -> Dataset:
    """Open registered data by name, or files.

    Raises:
        DataError: If there are none, or they cannot be read.
    """
    if ref.partition("?")[0] in DATASETS or ref in data_cards():
        return open_registered_data(ref)
    return open_data(base / Path(ref).expanduser())


def _spec_of(bundle: ModelBundle, data: Dataset) -> InputSpec:
    """Return the model's input, changed where the options of the data say so."""
    asked, own = data.normalisation, bundle.spec
    if asked is None:
        return own
    found = asked.or_else(Normalisation(own.scale, own.mean, own.std))
    return replace(own, scale=found.scale, mean=found.mean, std=found.std)


def fitting_data(bundle: ModelBundle, data: Dataset) -> Dataset:
    """Return data as a model can use them: labels that it does not predict are left out.

    Classes that are numbers become quantities for a model that predicts quantities.

    Raises:
        DataError: If they do not fit.
    """
    if isinstance(data.task, Classification) and not isinstance(bundle.task, Classification):
        numbers = as_quantities(data) if isinstance(bundle.task, Regression) else None
        data = numbers or without_labels(data)
    if isinstance(data.task, Regression) and isinstance(bundle.task, Outputs):
        data = without_labels(data)
    if isinstance(data.task, Detection) and not isinstance(bundle.task, Detection):
        data = without_labels(data)
    check_fit(bundle, data)
    note = order_note(bundle, data)
    return replace(data, notes=(*data.notes, note)) if note else data


def order_note(bundle: ModelBundle, data: Dataset) -> str:
    """Say that data number classes otherwise than a model that has the same names; empty if not."""
    own, wanted = data.task.class_names, bundle.task.class_names
    if numbers_agree(own, wanted):
        return ""
    name, other = next((a, b) for a, b in zip(own, wanted, strict=False) if a != b)
    listed = joined_names(wanted) if len(wanted) <= _LISTED else "and its names in its order"
    return (
        f"The data have {len(own)} of the model's {len(wanted)} classes and number them otherwise: "
        f"{name!r} is taken for {other!r}. To number them as the model does, read them with "
        f"class_names={listed}."
    )


_LISTED = 20


def check_fit(bundle: ModelBundle, data: Dataset) -> None:
    """Refuse data whose samples or labels the model does not take.

    Raises:
        DataError: If they do not fit.
    """
    if data.input_shape != bundle.spec.shape:
        raise DataError(
            f"{bundle.name} takes inputs of shape {bundle.spec.shape}; {data.title} has "
            f"{data.input_shape}.",
            hint="Choose data of that shape, or another model.",
        )
    if isinstance(data.task, Regression):
        _check_quantities(bundle, data, data.task)
    elif isinstance(data.task, Classification | Detection):
        _check_classes(bundle, data)


def _check_quantities(bundle: ModelBundle, data: Dataset, task: Regression) -> None:
    own = bundle.task
    if not isinstance(own, Regression):
        raise DataError(
            f"{data.title} has quantities to be predicted; {bundle.name} predicts none.",
            hint="Read the data without labels: target=none.",
        )
    if task.n_outputs != own.n_outputs:
        raise DataError(
            f"{data.title} has {task.n_outputs} quantities to be predicted; {bundle.name} "
            f"predicts {own.n_outputs}.",
            hint="Choose data with the quantities the model was trained on.",
        )


_WHAT = {Classification.kind: "whole samples", Detection.kind: "objects with boxes"}


def _check_classes(bundle: ModelBundle, data: Dataset) -> None:
    if bundle.task.kind != data.task.kind:
        raise DataError(
            f"{data.title} has classes of {_WHAT[data.task.kind]}; {bundle.name} tells none apart.",
            hint="Read the data without labels: target=none.",
        )
    if isinstance(bundle.task, Detection) and bundle.task != data.task:
        raise DataError(
            f"The objects of {data.title} are of other classes or on other places than those of "
            f"{bundle.name}.",
            hint="Choose data with the objects the model was trained on.",
        )
    if data.task.n_classes > bundle.task.n_classes:
        raise DataError(
            f"{data.title} has {data.task.n_classes} classes; {bundle.name} knows "
            f"{bundle.task.n_classes}.",
            hint="Choose data with the classes the model was trained on.",
        )


def refusals(bundle: ModelBundle) -> dict[str, str]:
    """Return ``{technique: reason}`` of the techniques that cannot change a model."""
    reasons = {name: _refusal(technique, bundle) for name, technique in TECHNIQUES.items()}
    return {name: reason for name, reason in reasons.items() if reason}


def check_lanes(recipe: Recipe, bundle: ModelBundle) -> None:
    """Refuse steps that cannot change a model of its kind.

    Raises:
        ConfigError: At the step, with the reason why the model is of that kind.
    """
    for entry in recipe.active:
        if reason := _refusal(entry.step, bundle):
            able = [t.title for t in TECHNIQUES.values() if not _refusal(t, bundle)]
            raise ConfigError(
                reason, hint=f"Use {' or '.join(able)}, or leave it out.", field=entry.id
            )


def _refusal(step: Step | type[Step], bundle: ModelBundle) -> str:
    return refusal(step, bundle.lane, bundle.provenance.note, bundle.task.kind)


def check_models(recipe: Recipe, bundle: ModelBundle) -> None:
    """Refuse models that the steps of a recipe name and that do not go with its own.

    Raises:
        ConfigError: At the field, if there is no such model, or it has another input or other
            classes.
    """
    for entry in recipe.active:
        for name in entry.step.models:
            try:
                check_pair(open_registered_model(name), bundle)
            except UnsupportedModelError as error:
                raise ConfigError(
                    error.message, hint=error.hint, field=f"{entry.id}.teacher"
                ) from error
