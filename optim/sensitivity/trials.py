"""What can be tried on single layers: every technique that says how, and the models it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from optim.errors import ConfigError
from optim.fields import Control, PerLayer, controls
from optim.sensitivity.profile import Level, Row
from optim.step import Context, Memo, Step, StepReport, apply_step
from optim.techniques import TECHNIQUES

if TYPE_CHECKING:
    from optim.models.bundle import ModelBundle

__all__ = [
    "Trial",
    "everywhere",
    "is_gradual",
    "layers_field",
    "on_layers",
    "overridden",
    "remembering",
    "techniques",
    "trials_of",
    "untouched",
]


_NORM_SAMPLES = 256
"""Samples that batch norms are measured on again in each smaller model."""
_NORM_BATCH = 128


def layers_field(step: type[Step] | Step) -> tuple[str, PerLayer] | None:
    """Return name and kind of the field that sets single layers; None if it cannot be tried."""
    cls = step if isinstance(step, type) else type(step)
    if cls.cost == "training":
        return None
    for control in controls(cls):
        if isinstance(control.kind, PerLayer) and control.kind.tried:
            return control.name, control.kind
    return None


def techniques() -> dict[str, type[Step]]:
    """Return the techniques that can be tried on single layers."""
    return {name: cls for name, cls in TECHNIQUES.items() if layers_field(cls)}


def on_layers(step: Step, levels: Mapping[str, Level]) -> Step:
    """Return a step that changes only the named layers, its other settings as they were."""
    name, kind = _field(step)
    return step.replace(**{**kind.alone, name: dict(levels)})


def everywhere(step: Step, level: Level) -> Step:
    """Return a step with one level on all layers, its other settings as they were."""
    name, kind = _field(step)
    return step.replace(**{**kind.alone, kind.overrides: level, name: {}})


def overridden(step: Step) -> Control:
    """Return the field whose common value single layers replace: it says which levels there are."""
    kind = _field(step)[1]
    return next(c for c in controls(type(step)) if c.name == kind.overrides)


def is_gradual(step: Step) -> bool:
    """Return whether a layer changes by what lies between, at levels between those tried."""
    return _field(step)[1].between


def untouched(step: Step) -> Level:
    """Return the level that leaves a layer as it is."""
    kind = _field(step)[1]
    return kind.alone[kind.overrides]


def _field(step: Step) -> tuple[str, PerLayer]:
    found = layers_field(step)
    assert found is not None, f"{step.title} cannot be tried on single layers"
    return found


def remembering() -> Memo:
    """Return a memo for one model: channels and scores are the same for every level."""
    known: dict[str, Any] = {}

    def memo(key: str, compute: Callable[[], Any]) -> Any:
        if key not in known:
            known[key] = compute()
        return known[key]

    return memo


@dataclass(frozen=True, eq=False)
class Trial:
    """One level of one technique on one row.

    Attributes:
        row: The layers.
        level: The value.
        bundle: The model with it.
    """

    row: Row
    level: Level
    bundle: ModelBundle


def trials_of(
    name: str, step: Step, bundle: ModelBundle, context: Context
) -> tuple[list[Trial], dict[str, str]]:
    """Return the models a technique makes of single layers, and ``{layer: why not}``.

    Layers that change together, whichever of them is named, are one row: none of them is taken for
    robust because it could not be changed alone.

    Args:
        name: The technique's name in the index.
        step: Its settings.
        bundle: The model.
        context: Calibration samples.

    Raises:
        OptimError: If the technique cannot treat the model at all.
    """
    levels = _field(step)[1].tried
    # What goes as a whole or not at all is tried wherever it is: nothing has to be found out.
    strongest = everywhere(step, levels[-1]) if is_gradual(step) else on_layers(step, {})
    report = apply_step(strongest, bundle, context).report
    left_out = {one.layer: one.detail for one in report.layers if not one.touched}
    trials: list[Trial] = []
    done: set[str] = set()
    for layer in [one.layer for one in report.layers]:
        if layer in done or (layer in left_out and is_gradual(step)):
            continue
        made = []
        try:
            for level in levels:
                context.check()
                found = apply_step(on_layers(step, {layer: level}), bundle, context)
                made.append(replace(found, bundle=_norms_measured(found.bundle, bundle, context)))
        except ConfigError:
            if layer not in left_out:
                raise
            continue
        together = _touched(made[-1].report) or (layer,)
        done |= {layer, *together}
        row = Row(name, layer, together)
        trials += [Trial(row, *pair) for pair in zip(levels, (m.bundle for m in made), strict=True)]
    return trials, {layer: why for layer, why in left_out.items() if layer not in done}


def _norms_measured(smaller: ModelBundle, bundle: ModelBundle, context: Context) -> ModelBundle:
    """Return a model that lost parts with the statistics its batch norms find behind them.

    Whatever takes parts away is followed by that in every recipe; without it a network looks lost
    that is not. Norms before the first difference keep what they had, so that the computation up to
    there is still the original's.
    """
    from optim.layers.graph import fork, trace
    from optim.layers.norms import measure_norms_
    from optim.layers.rewrite import norm_layers
    from optim.measure.variants import first_difference

    if smaller.lane != "torch" or _weights(smaller) == _weights(bundle):
        return smaller
    module = fork(smaller.module)
    now = trace(module, fold=False)
    before = context.memo(f"traced:{bundle.hash}", lambda: trace(bundle.module, fold=False))
    start = first_difference(before, now)
    behind = {str(node.target) for node in list(now.graph.nodes)[start:]}
    norms = norm_layers(module)
    if not norms.keys() & behind:
        return smaller
    kept = {name: dict(norm._buffers) for name, norm in norms.items() if name not in behind}
    x, _ = context.calibration(_NORM_SAMPLES)
    measure_norms_(module, x.split(_NORM_BATCH))
    for name, buffers in kept.items():
        norms[name]._buffers.update(buffers)
    return smaller.with_module(module)


def _weights(bundle: ModelBundle) -> int:
    return sum(p.numel() for p in bundle.module.parameters())


def _touched(report: StepReport) -> tuple[str, ...]:
    return tuple(one.layer for one in report.layers if one.touched)
