"""Questions about devices: one model on all of them, and why a step brings no speed-up on one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from optim.devices.calibration import Calibration
from optim.devices.operators import Operator
from optim.devices.own import HERE, OWN, calibration_of, probe_here, probes_of
from optim.devices.parts import Roofline
from optim.devices.profile import DEVICE_CLASSES, DeviceProfile, Runtime, catalogue, device
from optim.errors import ConfigError, OptimError
from optim.ladder.changes import cheapest_change
from optim.ladder.clock import Clock, split
from optim.ladder.estimates import energy_on, latency_on_device, memory_on
from optim.ladder.footprint import Footprint, footprint_of
from optim.ladder.rungs import CONSTRAINTS, fit_of, limit_of, runtime_for
from optim.ladder.why import effect_of
from optim.measure.latency import compare_files
from optim.measure.operators import timed_operators
from optim.measure.quality import quality
from optim.models.zoo import ZOO
from optim.quantity import Quantity
from optim.recipe import Recipe
from optim.runtime.deployed import deployed_owners
from optim.runtime.tracing import owner_of
from optim.whatif.answers import change, shown
from optim.whatif.engine import Engine, Prepared, Workbench

__all__ = ["ladder", "speed"]

_PROBED = Runtime(name="ONNX Runtime CPU", precisions=("fp32", "int8"))
_FIRST_CHUNKS = 2
"""Pieces of the samples on which the accuracy of a change is measured."""


def ladder(engine: Engine, recipe: Recipe, owner: str = "") -> dict[str, Any]:
    """Return what the original and the compressed model do on every device.

    Args:
        engine: Opens and prepares models.
        recipe: What is done to the model.
        owner: Id of who asks; their own devices are among the answers.
    """
    bench = engine.workbench(recipe)
    whole = replace(recipe, entries=())
    omitted = bench.prepare(recipe, draft=False).omitted
    before, after = _footprint(engine, bench, whole), _footprint(engine, bench, recipe)
    changed: dict[str, dict[str, Any]] = {}
    rows = []
    for profile in catalogue().values():
        row = _device_row(profile)
        row |= {"before": _rung(before, profile), "after": _rung(after, profile), "change": None}
        if not row["after"]["fits"]:
            row["change"] = _change(engine, bench, recipe, profile, changed)
        rows.append(row)
    return {
        "devices": rows,
        "probed": [_probed_row(*probed, before, after) for probed in _probed(owner)],
        "footprints": {"before": _figures(before), "after": _figures(after)},
        "omitted": _titles(recipe, omitted),
        "is_compressed": any(entry.id not in omitted for entry in recipe.active),
        "is_integer": any(o.dtype == "int8" and o.macs for o in after.operators),
    }


def speed(engine: Engine, recipe: Recipe, name: str, owner: str = "") -> dict[str, Any]:
    """Return what each step of a recipe does to the time of an inference on one device, and why.

    Args:
        engine: Opens and prepares models.
        recipe: What is done to the model.
        name: Of the catalogue, ``"here"`` for this machine, or ``"own:"`` and the id of a probe.
        owner: Id of who asks.

    Raises:
        ConfigError: If there is no such device, or too little is known of it.
    """
    bench = engine.workbench(recipe)
    after = _footprint(engine, bench, recipe)
    clock, runtime, title = _clock(name, owner, after)
    now = bench.prepare(recipe, draft=False)
    measured = name == HERE
    steps = []
    operators = list(after.operators)
    for entry in recipe.active:
        if entry.id in now.omitted:
            continue
        try:
            others = bench.prepare(recipe.without(entry.id), draft=False)
            before = _footprint(engine, bench, recipe.without(entry.id))
        except OptimError as error:
            steps.append({"entry": entry.id, "title": entry.step.title, "refused": str(error)})
            continue
        operators += before.operators
        effect = effect_of(before, after, clock, runtime)
        found = {"entry": entry.id, "title": entry.step.title, **effect.to_json()}
        # What is trained after the step would have to be trained again without it.
        found["untrained"] = _titles(recipe, set(others.omitted) - set(now.omitted))
        found["changes_work"] = _work(before) != _work(after) or effect.touched > 0
        if not found["changes_work"]:
            steps.append(found)
            continue
        if measured:
            found["measured"] = engine.memo(
                f"measured:{others.key}:{now.key}",
                partial(_measured, engine, bench, others, now),
            )
        found["instead"] = _instead(engine, bench, recipe, entry.id, clock, effect.after_ms)
        steps.append(found)
    rates = clock.unknown_rates(operators) if isinstance(clock, Roofline) else ()
    return {
        "title": title,
        "runtime": runtime.name,
        "steps": steps,
        "omitted": _titles(recipe, now.omitted),
        "is_measured": measured,
        "unknown_rates": list(rates),
    }


# --- pieces -------------------------------------------------------------------------------------


def _titles(recipe: Recipe, ids: Collection[str]) -> list[str]:
    return [entry.step.title for entry in recipe.active if entry.id in ids]


def _work(footprint: Footprint) -> tuple[Operator, ...]:
    """Return what is computed, without what happens to be stored once for several operators."""
    return tuple(replace(operator, shared_bytes=0) for operator in footprint.operators)


def _footprint(engine: Engine, bench: Workbench, recipe: Recipe) -> Footprint:
    prepared = bench.prepare(recipe, draft=False)
    return engine.memo(
        f"footprint:{prepared.key}",
        lambda: footprint_of(prepared.bundle, engine.file(prepared), _sample(bench)),
    )


def _sample(bench: Workbench) -> np.ndarray:
    sample: np.ndarray = bench.subject.bundle.spec.normalise(bench.samples.inputs[:1]).numpy()
    return sample


def _device_row(profile: DeviceProfile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "title": profile.title,
        "class": profile.device_class,
        "class_title": DEVICE_CLASSES[profile.device_class],
        "chip": profile.chip,
        "notes": profile.notes,
        "limits": profile.limits,
        "has_vnni": profile.has_vnni,
        "sources": list(profile.sources),
    }


def _rung(footprint: Footprint, profile: DeviceProfile) -> dict[str, Any]:
    """Return whether a model fits a device, how long it takes there, and what limits it."""
    fit = fit_of(footprint, profile)
    limit, parts = limit_of(footprint, profile, fit.runtime)
    latency: Quantity | None = None
    notes: tuple[str, ...] = ()
    energy = memory = None
    made_of, no_energy = "", f"{fit.runtime.name} does not run the model"
    if fit.problem != "support":
        latency, notes = latency_on_device(footprint, profile, fit.runtime)
        energy, no_energy = energy_on(footprint, profile, fit.runtime)
        memory, made_of = memory_on(footprint, profile, fit.runtime)
    binding = fit.problem or limit
    return {
        **fit.to_json(),
        "latency": _ranged(latency),
        "energy": energy
        and {
            "total": _ranged(energy.total),
            "compute": energy.compute.to_json(),
            "movement": energy.movement.to_json(),
        },
        "no_energy": no_energy,
        "memory": _ranged(memory),
        "memory_about": made_of,
        "notes": list(notes),
        "limit": binding,
        "limit_title": CONSTRAINTS[binding],
        "parts": vars(parts),
    }


def _ranged(value: Quantity | None) -> dict[str, Any] | None:
    """Return a quantity with a text that says both ends: intervals of estimates are lopsided."""
    return None if value is None else {**value.to_json(), "text": value.with_ends()}


def _change(
    engine: Engine,
    bench: Workbench,
    recipe: Recipe,
    profile: DeviceProfile,
    known: dict[str, dict[str, Any]],
) -> dict[str, Any] | None:
    """Return the cheapest change with which a model fits, and its quality before training."""

    def footprint(changed: Recipe) -> Footprint | None:
        try:
            return _footprint(engine, bench, changed)
        except OptimError:
            return None

    found = cheapest_change(recipe, bench.subject.bundle.lane, profile, footprint)
    if found is None:
        return None
    if found.text not in known:
        original = bench.prepare(replace(recipe, entries=()), draft=False)
        candidate = bench.prepare(found.recipe, draft=False)
        chunks = min(bench.n_chunks, _FIRST_CHUNKS)
        after, before = bench.joined(candidate, chunks), bench.joined(original, chunks)
        judged = quality(after, before, bench.subject.bundle.task, every=False)
        known[found.text] = {
            "text": found.text,
            "link": found.recipe.to_link(),
            # What fresh weights answer says nothing about trained ones.
            "quality": None if recipe.model in ZOO else shown(judged.main),
            "difference": None if recipe.model in ZOO else change(judged.change),
        }
    return known[found.text]


def _figures(footprint: Footprint) -> dict[str, Any]:
    return {
        "weight_bytes": footprint.weight_bytes,
        "stored_bytes": footprint.stored_bytes,
        "arena_bytes": int(footprint.arena.value) if footprint.arena else None,
    }


# --- probed devices -----------------------------------------------------------------------------


def _probed(owner: str) -> list[tuple[str, Calibration]]:
    """Return this machine, if it was probed, and the devices somebody probed."""
    here = probe_here()
    found = [(HERE, calibration_of(here.id))] if here else []
    return found + [
        (f"{OWN}{probe.id}", calibration_of(probe.id, owner)) for probe in probes_of(owner)
    ]


def _probed_row(
    name: str, calibration: Calibration, before: Footprint, after: Footprint
) -> dict[str, Any]:
    device_ = calibration.probe.device
    now = calibration.estimate(after.operators)
    return {
        "name": name,
        "title": "This machine" if name == HERE else device_.name,
        "chip": device_.name,
        "date": calibration.probe.date,
        "runtime": f"{calibration.probe.runtime.name} {calibration.probe.runtime.version}",
        "before": _ranged(calibration.estimate(before.operators).latency),
        "after": _ranged(now.latency),
        "substituted": list(dict.fromkeys(now.substituted)),
    }


def _clock(name: str, owner: str, footprint: Footprint) -> tuple[Clock, Runtime, str]:
    """Return what splits time on a device, what its runtime has kernels for, and its title."""
    if name == HERE:
        here = probe_here()
        if here is None:
            raise ConfigError(
                "This machine was not probed yet.",
                hint="Probe it on the page Your own device; that takes a minute.",
                field="device",
            )
        return calibration_of(here.id), _PROBED, "This machine"
    if name.startswith(OWN):
        calibration = calibration_of(name.removeprefix(OWN), owner)
        return calibration, _PROBED, calibration.probe.device.name
    profile = device(name)
    runtime = runtime_for(footprint, profile)  # as on the ladder
    if not profile.has_rate:
        raise ConfigError(
            f"{profile.title}: no peak rate is known, so that nothing can be said about what its "
            "time is spent on.",
            hint="Choose another device, or probe this one.",
            field="device",
        )
    return Roofline(profile, runtime), runtime, profile.title


def _measured(
    engine: Engine, bench: Workbench, before: Prepared, after: Prepared
) -> dict[str, Any]:
    """Return what was measured here: latency in turns, and the time of every layer."""
    inputs = _sample(bench)
    files = engine.file(before), engine.file(after)
    pair = compare_files(*files, inputs, 1, interface=bench.subject.bundle.interface)
    layers: dict[str, list[float]] = {}
    for side, (prepared, file) in enumerate(zip((before, after), files, strict=True)):
        owners = deployed_owners(prepared.bundle)
        for operator in timed_operators(file, inputs, prepared.bundle.interface):
            layer = owner_of(operator.name, owners) or operator.name
            row = layers.setdefault(layer, [0.0, 0.0])
            row[side] += operator.ms
    return {
        "before": shown(pair.baseline),
        "after": shown(pair.candidate),
        "ratio": shown(pair.change.difference),
        "layers": layers,
    }


def _instead(
    engine: Engine,
    bench: Workbench,
    recipe: Recipe,
    entry_id: str,
    clock: Clock,
    after_ms: float,
) -> list[dict[str, Any]]:
    """Return variants of a step that were tried and are faster, with their estimated times."""
    fields: Mapping[str, Any] = recipe.entry(entry_id).step.model_dump()
    tried: list[tuple[str, Recipe]] = []
    if "round_to" in fields:
        tried = [
            (f"Keep a multiple of {n} channels", recipe.with_fields(entry_id, round_to=n))
            for n in (4, 8, 16)
            if n != fields["round_to"]
        ]
    tried.append(("Leave the step out", recipe.without(entry_id)))
    found = []
    for text, variant in tried:
        try:
            footprint = _footprint(engine, bench, variant)
        except OptimError:
            continue
        ms = split(footprint, clock).total
        if ms < 0.97 * after_ms:
            found.append({"text": text, "ms": ms, "speedup": after_ms / ms})
    return sorted(found, key=lambda row: row["ms"])
