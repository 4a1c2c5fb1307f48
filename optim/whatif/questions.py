"""Questions a page asks about one recipe: layers, classes, weights, sizes, export.

Each takes the engine and a recipe and returns plain data. They are asked when somebody looks, not
while a slider moves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from optim.errors import ConfigError
from optim.export.deliver import deliver
from optim.export.downloads import keep_export
from optim.export.targets import TARGETS, container_notes, refusal
from optim.hashing import digest_bytes
from optim.layers.channels import find_channels
from optim.layers.groups import Channels
from optim.measure.costs import model_costs
from optim.measure.macs import LayerCost
from optim.measure.predictions import Predictions
from optim.measure.quality import METRICS, fidelity_to
from optim.measure.size import encoded_sizes, layer_sizes
from optim.models.bundle import ModelBundle
from optim.models.weighted import deployed_weight
from optim.quantity import Quantity
from optim.recipe import Recipe
from optim.runtime.deployed import deployed_owners
from optim.runtime.latency import profile_layers
from optim.subject import refusals
from optim.whatif.answers import change, shown
from optim.whatif.comparisons import answered, contest, differing
from optim.whatif.detections import detections, scene
from optim.whatif.devices import ladder, speed
from optim.whatif.engine import Engine, Workbench
from optim.whatif.imitation import imitation, sample
from optim.whatif.inspections import flipped, inspection
from optim.whatif.saturation import saturation
from optim.whatif.spread import spread_over_layers
from optim.whatif.stream import noise_curve, stream

__all__ = [
    "QUESTIONS",
    "classes",
    "export",
    "fidelity",
    "files",
    "layers",
    "model_info",
    "sizes",
    "weights",
]

_HISTOGRAM_BINS = 80


def model_info(engine: Engine, recipe: Recipe) -> dict[str, Any]:
    """Return what the page says about model and data before any step."""
    bench = engine.workbench(recipe)
    subject = bench.subject
    return {
        "name": subject.bundle.name,
        "data": subject.data.title,
        "part": subject.part,
        "samples": len(bench.samples),
        "overlap": subject.overlap,
        "generated": subject.data.is_generated,
        "metric": {"name": bench.primary, **asdict(METRICS[bench.primary])},
        "notes": list(subject.data.notes),
        "classes": list(subject.bundle.task.class_names),
        "layers": [layer.name for layer in bench.layers if layer.params],
        "hash": subject.bundle.hash,
        "lane": subject.bundle.lane,
        "batch": _fixed_batch(subject.bundle),
        "refused": refusals(subject.bundle),
    }


def _fixed_batch(bundle: ModelBundle) -> int:
    """Return how many samples one inference of the model's file takes; 0 for any number."""
    return bundle.interface.batch if bundle.interface else 0


def layers(engine: Engine, recipe: Recipe) -> dict[str, Any]:
    """Return one row a layer: shape, cost, zeros, bits, share of size and of time.

    A row also says to which group of channels the layer's outputs belong, or why they are fixed.
    """
    bench = engine.workbench(recipe)
    channels = _channels(engine, bench.subject.bundle)
    group_of = {maker: group.name for group in channels.groups for maker in group.makers}
    candidate = bench.prepare(recipe, draft=False, reports=True)
    bundle = candidate.bundle
    costs = {c.name: c for c in model_costs(bundle)}
    sizes = {size.name: size for size in layer_sizes(bundle)}
    before = {c.name: c for c in bench.layers}
    inputs = bench.subject.bundle.spec.normalise(bench.samples.inputs[:1]).numpy()
    file, interface = engine.file(candidate), bundle.interface
    profile = profile_layers(file, inputs, deployed_owners(bundle), interface=interface)
    time_share = _time_shares(profile, costs)
    total = sum(size.bytes["bit_width"] for size in sizes.values())
    rows = []
    for name, cost in costs.items():
        if name not in sizes:
            continue
        size = sizes[name]
        rows.append(
            {
                "layer": name,
                "shape": "x".join(map(str, cost.shape)),
                "params": cost.params,
                "params_before": before[name].params,
                "macs": cost.macs,
                "macs_before": before[name].macs,
                "sparsity": size.sparsity,
                "bits": size.bits,
                "bytes": size.bytes["bit_width"],
                "size_share": size.bytes["bit_width"] / total,
                "time_share": time_share.get(name, 0.0),
                "group": group_of.get(name, ""),
                "fixed": channels.protected.get(name, ""),
            }
        )
    reports = {entry: report.to_json() for entry, report in candidate.reports.items()}
    return {"rows": rows, "reports": reports, "other_time": time_share.get("", 0.0)}


def _time_shares(profile: Mapping[str, float], costs: Mapping[str, LayerCost]) -> dict[str, float]:
    """Share the time of a node that is several layers among them, by their MACs."""
    shares = dict(profile)
    nodes: dict[str, list[LayerCost]] = {}
    for name, cost in costs.items():
        if cost.kind == "recurrent":
            nodes.setdefault(name.rpartition(".")[0], []).append(cost)
    for together in nodes.values():
        spent = sum(shares.get(cost.name, 0.0) for cost in together)
        macs = sum(cost.macs for cost in together)
        shares |= {cost.name: spent * cost.macs / macs for cost in together if macs}
    return shares


def _channels(engine: Engine, original: ModelBundle) -> Channels:
    """Return which layers' outputs belong together; of a graph nobody knows."""
    if original.lane == "graph":
        return Channels((), {})
    return engine.memo(
        f"channels:{original.hash}", lambda: find_channels(original.module, original.spec.shape)
    )


def classes(engine: Engine, recipe: Recipe) -> dict[str, Any]:
    """Return accuracy by class before and after, and the confusion of the compressed model.

    Raises:
        MeasurementError: If the samples have no labels.
    """
    bench, before, after = _both(engine, recipe)
    was, now = before.class_accuracy(), after.class_accuracy()
    names = bench.subject.bundle.task.class_names
    return {
        "classes": [
            {"name": names[label], "before": shown(was[label]), "after": shown(now[label])}
            for label in sorted(now)
        ],
        "names": list(names),
        "confusion": after.confusion().tolist(),
        "agreement": shown(after.agreement(before)),
        "change": change(after.against(before)),
    }


def fidelity(engine: Engine, recipe: Recipe) -> dict[str, Any]:
    """Return how closely the compressed model follows the original, each figure with its words."""
    bench, before, after = _both(engine, recipe)
    figures = fidelity_to(before, after, bench.subject.bundle.task)
    return {
        "figures": [
            {"name": name, **asdict(METRICS[name]), "figure": shown(figure)}
            for name, figure in figures.items()
        ],
        "samples": len(after),
    }


def _both(engine: Engine, recipe: Recipe) -> tuple[Workbench, Predictions, Predictions]:
    """Return what the original and the compressed model say about the whole part."""
    bench = engine.workbench(recipe)
    candidate = bench.prepare(recipe, draft=False)
    baseline = bench.prepare(replace(recipe, entries=()), draft=False)
    after = bench.joined(candidate, bench.n_chunks)
    return bench, bench.joined(baseline, bench.n_chunks), after


def weights(engine: Engine, recipe: Recipe, layer: str) -> dict[str, Any]:
    """Return histograms of a layer's weights before and after, batch norm folded in."""
    bench = engine.workbench(recipe)
    candidate = bench.prepare(recipe, draft=False)
    both = [deployed_weight(b, layer) for b in (bench.subject.bundle, candidate.bundle)]
    if both[0] is None or both[1] is None:
        raise ConfigError(f"The model has no layer {layer!r}.", field="layer")
    was, now = (weight.flatten().numpy() for weight in both if weight is not None)
    reach = float(max(np.abs(was).max(), np.abs(now).max())) or 1.0
    edges = np.linspace(-reach, reach, _HISTOGRAM_BINS + 1)
    return {
        "edges": edges.tolist(),
        "before": np.histogram(was, edges)[0].tolist(),
        "after": np.histogram(now, edges)[0].tolist(),
        "values": len(np.unique(now)),
        "zeros": float(np.mean(now == 0)),
    }


def sizes(engine: Engine, recipe: Recipe) -> dict[str, Any]:
    """Return the four encoded sizes and the file, original and compressed."""
    bench = engine.workbench(recipe)
    models = {
        "original": bench.prepare(replace(recipe, entries=()), draft=False),
        "compressed": bench.prepare(recipe, draft=False),
    }
    return {
        name: {
            **{size: shown(value) for size, value in encoded_sizes(model.bundle).items()},
            "file": shown(engine.static(model).file),
        }
        for name, model in models.items()
    }


def export(engine: Engine, recipe: Recipe, target: str, owner: str = "") -> dict[str, Any]:
    """Write a file, verify it in its runtime, and keep it for its owner if it holds.

    Raises:
        ParityError: If the file does not do what was simulated.
    """
    bench = engine.workbench(recipe)
    candidate = bench.prepare(recipe, draft=False)
    more = bench.subject.data.part("train") if bench.subject.data.is_split else None
    made = deliver(candidate.bundle, recipe, target, bench.samples, more=more)
    data, verification = made.data, made.verification
    name = f"{recipe.model.split(':')[0].split('/')[-1]}-{recipe.hash[:8]}{made.suffix}"
    token = keep_export(data, name, owner)
    return {
        "token": token,
        "hash": digest_bytes(data),
        "name": name,
        "bytes": len(data),
        "notes": list(container_notes(made.deployed.table).values()),
        "omitted": list(candidate.omitted),
        "batch": _fixed_batch(candidate.bundle),
        "part": bench.subject.part,
        "generated": bench.subject.data.is_generated,
        "verification": {
            **verification.to_json(),
            "texts": {
                "found": verification.found,
                "change": verification.change.verdict() if verification.change else "",
                "latency": str(verification.latency),
                "bytes": str(Quantity.exact(len(data), "bytes")),
            },
        },
    }


def files(engine: Engine, recipe: Recipe) -> dict[str, Any]:
    """Return ``{kind of file: why it cannot be made}``; empty where it can."""
    bundle = engine.workbench(recipe).prepare(recipe, draft=False).bundle
    return {name: str(refusal(bundle, target) or "") for name, target in TARGETS.items()}


Question = Callable[..., dict[str, Any]]

QUESTIONS: dict[str, Question] = {
    "model": model_info,
    "layers": layers,
    "classes": classes,
    "fidelity": fidelity,
    "weights": weights,
    "sizes": sizes,
    "files": files,
    "export": export,
    "inspection": inspection,
    "flipped": flipped,
    "answered": answered,
    "contest": contest,
    "differing": differing,
    "imitation": imitation,
    "sample": sample,
    "detections": detections,
    "scene": scene,
    "stream": stream,
    "noise_curve": noise_curve,
    "ladder": ladder,
    "saturation": saturation,
    "speed": speed,
    "spread": spread_over_layers,
}
"""Questions by name."""
