"""Store weights, and compute activations, with few bits. Calibrated on samples, no training.

Weights become smaller by 32 / bits. Integer kernels run only where weights and activations are
both at most 8 bits; everything else is stored small and computed in floating point. Scales are
found on the batch-norm-folded graph, the one that is deployed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from optim.fields import Choice, Method, PerLayer, Range
from optim.hashing import digest
from optim.step import Applied, Context, LayerReport, Step, StepReport
from optim.techniques.budgets import BUDGETS, BudgetMethod, Offer, Spread, Uniform
from optim.techniques.calibrations import (
    CALIBRATIONS,
    MSE,
    WEIGHT_CALIBRATIONS,
    CalibrationMethod,
    MinMax,
)
from optim.techniques.roundings import ROUNDINGS, Nearest, RoundingMethod

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from optim.graph.plan import GraphPlan
    from optim.layers.grid import Grid
    from optim.layers.quantized_graph import QuantizationPlan
    from optim.layers.statistics import Statistics
    from optim.layers.table import QuantizedEdge, QuantizedWeight
    from optim.models.bundle import ModelBundle

    _Observed = Callable[
        [ModelBundle, QuantizationPlan | GraphPlan, Context], dict[str, Statistics]
    ]

__all__ = ["Quantize"]

WeightBits = Literal["ternary", 2, 3, 4, 5, 6, 7, 8, 16, "float"]
ActivationBits = Literal[2, 3, 4, 5, 6, 7, 8, 16, "float"]

_BITS = {2: "2", 3: "3", 4: "4", 5: "5", 6: "6", 7: "7", 8: "8", 16: "16", "float": "float"}

_OFF_TIES = 1 + 2**-10
"""How much wider a grid of activations is than what it has to hold.

Bytes that are normalised to a symmetric range lie midway between the steps of a grid of 256 values:
the last digit of a float would decide to which side each is rounded, and runtimes disagree there.
"""


class Quantize(Step):
    """Post-training quantization of weights and activations."""

    title: ClassVar[str] = "Quantize"
    about: ClassVar[str] = "Fewer bits a weight and an activation: smaller, and faster at 8 bits."
    paper: ClassVar[str] = (
        "Jacob et al., Quantization and Training of Neural Networks for Efficient "
        "Integer-Arithmetic-Only Inference, 2017, arXiv:1712.05877; Nagel et al., A White Paper on "
        "Neural Network Quantization, 2021, arXiv:2106.08295"
    )
    cost: ClassVar[Literal["instant", "calibrated", "training"]] = "calibrated"
    lanes: ClassVar[frozenset[str]] = frozenset({"torch", "graph"})
    sketches: ClassVar[bool] = True
    ensures: ClassVar[frozenset[str]] = frozenset({"quantized"})
    removes: ClassVar[frozenset[str]] = frozenset({"float", "bias_corrected"})

    weight_bits: Annotated[
        WeightBits,
        Choice(
            options={"ternary": "ternary", **_BITS},
            ordered=True,
            unit="bits",
            label="Weight bits",
            help="Bits of one weight. Ternary has the values -s, 0 and s.",
        ),
    ] = 8
    activation_bits: Annotated[
        ActivationBits,
        Choice(
            options=_BITS,
            ordered=True,
            unit="bits",
            label="Activation bits",
            help="Bits of one activation. Float keeps activations as they are.",
        ),
    ] = 8
    granularity: Annotated[
        Literal["per_tensor", "per_channel", "per_group"],
        Choice(
            options={
                "per_tensor": "Per tensor",
                "per_channel": "Per channel",
                "per_group": "Per group",
            },
            label="Scales",
            help="What shares one scale. Groups are best below 4 bits, but no "
            "integer kernel takes them.",
        ),
    ] = "per_channel"
    group_size: Annotated[
        int,
        Range(
            low=8,
            high=256,
            step=8,
            scale="log",
            unit="weights",
            label="Group size",
            help="Weights that share a scale.",
            when={"granularity": ("per_group",)},
        ),
    ] = 32
    weight_scheme: Annotated[
        Literal["symmetric", "affine"],
        Choice(
            options={"symmetric": "Symmetric", "affine": "Affine"},
            label="Weight grid",
            help="Symmetric grids are centred on zero and need no zero point; kernels want them.",
            expert=True,
        ),
    ] = "symmetric"
    activation_scheme: Annotated[
        Literal["symmetric", "affine"],
        Choice(
            options={"symmetric": "Symmetric", "affine": "Affine"},
            label="Activation grid",
            help="Affine grids spend no value on the side a ReLU never uses.",
            expert=True,
        ),
    ] = "affine"
    scales: Annotated[
        Literal["any", "power_of_two"],
        Choice(
            options={"any": "Any", "power_of_two": "Powers of two"},
            label="Values of scales",
            help="Powers of two let a processor shift instead of multiply, and fit a little worse. "
            "Training learns other ones.",
            expert=True,
        ),
    ] = "any"
    reduce_range: Annotated[
        bool,
        Choice(
            options={False: "No", True: "Yes"},
            label="Reduced range",
            help="Weights of 8 bits keep to -64..63: x86 processors without VNNI add pairs of "
            "products in 16 bits, where larger ones saturate. The file stays as large.",
            when={"weight_bits": (8,)},
            expert=True,
        ),
    ] = False
    calibration: Annotated[
        CalibrationMethod,
        Method(
            family=CALIBRATIONS,
            label="Activation ranges",
            help="How the range of an activation is chosen from what was observed.",
        ),
    ] = MSE()
    weight_calibration: Annotated[
        CalibrationMethod,
        Method(
            family=WEIGHT_CALIBRATIONS,
            label="Weight ranges",
            help="How the range of a weight is chosen.",
        ),
    ] = MSE()
    budget: Annotated[
        BudgetMethod,
        Method(
            family=BUDGETS,
            label="Bits of layers",
            help="Whether all layers have the same weight bits, or as many bytes in all with more "
            "bits where outputs depend on it.",
        ),
    ] = Uniform()
    rounding: Annotated[
        RoundingMethod,
        Method(
            family=ROUNDINGS,
            label="Rounding",
            help="How the integers of weights are chosen. Nearest is free; the others look at "
            "samples and win back most of what few bits lose.",
        ),
    ] = Nearest()
    ends: Annotated[
        Literal["same", "eight"],
        Choice(
            options={"same": "Like the others", "eight": "8 bits"},
            label="First and last layer",
            help="8 bits for the weights and inputs of both ends, where the others have fewer: "
            "they hold few weights and err most.",
        ),
    ] = "same"
    samples: Annotated[
        int,
        Range(
            low=32,
            high=2048,
            step=32,
            scale="log",
            unit="samples",
            label="Samples",
            help="Training samples observed for the ranges of activations and for rounding.",
            expert=True,
        ),
    ] = 256
    layers: Annotated[
        dict[str, WeightBits],
        PerLayer(
            overrides="weight_bits",
            label="Layers",
            skip="float",
            help="Weight bits of single layers; float leaves a layer and its input alone.",
            alone={"weight_bits": "float", "activation_bits": "float"},
            tried=(8, 4, 3, 2),
        ),
    ] = {}

    @property
    def is_neutral(self) -> bool:
        """Whether everything stays in floating point."""
        return (
            self.weight_bits == "float"
            and self.activation_bits == "float"
            and all(bits == "float" for bits in self.layers.values())
        )

    @property
    def calibration_passes(self) -> int:
        """Samples for the ranges of activations, and what rounding and budget add."""
        return self.samples + self.rounding.passes + self.budget.passes

    def apply(self, bundle: ModelBundle, context: Context) -> Applied:
        """Return the model with grids in its compression table; weights stay as they were.

        An ONNX graph is folded: its grids are those of the folded weights.
        """
        spread = self._spread(bundle, context)
        step = self.model_copy(update={"layers": {**spread.bits, **self.layers}})
        applied = _with_reasons(step._on_grids(bundle, context, self._observed), spread)
        is_nearest = isinstance(self.rounding, Nearest) or not applied.bundle.table.weights
        looked = bool(applied.bundle.table.edges) or not is_nearest
        if looked and (few := context.shortage(self.samples)):
            applied = _with_note(applied, few)
        if is_nearest:
            return applied
        if context.sample_limit is not None:
            return _with_note(applied, f"A draft: rounded to nearest, not yet by {self._how}.")
        x, _ = context.calibration(self.samples)
        rounded = self.rounding.rounded(applied.bundle, x, context)
        return _with_note(replace(applied, bundle=rounded), f"Rounded by {self._how}.")

    def outline(self, bundle: ModelBundle, context: Context) -> ModelBundle:
        """Return the model on grids of these bits, from end to end; activations' reach to 1."""
        ends = {"calibration": MinMax(), "weight_calibration": MinMax()}
        return self.model_copy(update=ends)._on_grids(bundle, context, _unobserved).bundle

    def _spread(self, bundle: ModelBundle, context: Context) -> Spread:
        """Return the bits of single layers that the budget chooses."""
        if isinstance(self.budget, Uniform):
            return Spread()
        if not isinstance(self.weight_bits, int) or not 2 <= self.weight_bits <= 8:
            return Spread(note=f"Only 2 to 8 bits are spread, not {self.weight_bits}.")
        if context.sample_limit is not None:
            return Spread(note="A draft: the same bits everywhere, not yet spread over layers.")
        return self.budget.spread(self._offer(bundle, self.weight_bits, context), context)

    def _offer(self, bundle: ModelBundle, bits: int, context: Context) -> Offer:
        """Return what bits are spread over: all layers but those that are set."""
        from optim.layers.graph import trace
        from optim.layers.rewrite import folded_weights
        from optim.models.weighted import model_weights
        from optim.runtime.run_graph import editable

        if bundle.lane == "torch":
            weights = folded_weights(bundle.module, trace(bundle.module), self.layers)
        else:
            bundle = editable(bundle, context.memo)
            weights = model_weights(bundle, self.layers)
        fixed = {*self.layers, *self._ends(list(weights))}
        weights = {name: weight for name, weight in weights.items() if name not in fixed}
        grids = ("granularity", "group_size", "scales", "weight_calibration", "weight_scheme")
        key = str([getattr(self, name) for name in grids])
        return Offer(bundle, weights, bits, self._quantize_weight, key)

    @property
    def _how(self) -> str:
        return self.rounding.title

    def _on_grids(self, bundle: ModelBundle, context: Context, observed: _Observed) -> Applied:
        from optim.models.bundle import TorchModel

        if isinstance(bundle.content, TorchModel):
            return self._on_module(bundle, context, observed)
        return self._on_graph(bundle, context, observed)

    def _on_module(self, bundle: ModelBundle, context: Context, observed: _Observed) -> Applied:
        from optim.layers.graph import trace
        from optim.layers.quantized_graph import QuantizationPlan
        from optim.layers.rewrite import folded_weights
        from optim.models.weighted import kept_weights

        traced = trace(bundle.module)
        folded = folded_weights(bundle.module, traced, self.layers)
        names, weights = list(folded), self._quantized_weights(bundle, folded, context)
        edges: dict[str, QuantizedEdge] = {}
        if self.activation_bits != "float":
            plan = QuantizationPlan.of(traced, self._excluded)
            edges = self._edges(bundle, plan, names, context, observed)
        table = bundle.table.with_quantization(weights, edges)
        report = self._report(folded, weights, edges, kept_weights(bundle))
        return Applied(bundle.with_table(table), report)

    def _on_graph(self, bundle: ModelBundle, context: Context, observed: _Observed) -> Applied:
        from optim.graph.plan import GraphPlan
        from optim.models.weighted import kept_weights, model_weights
        from optim.runtime.run_graph import editable

        folded = editable(bundle, context.memo)
        given = model_weights(folded, self.layers)
        weights = self._quantized_weights(folded, given, context)
        edges: dict[str, QuantizedEdge] = {}
        if self.activation_bits != "float":
            plan = GraphPlan.of(folded.graph(), self._excluded)
            edges = self._edges(folded, plan, list(given), context, observed)
        table = bundle.table.with_quantization(weights, edges)
        report = self._report(given, weights, edges, kept_weights(folded))
        return Applied(folded.with_table(table), report)

    @property
    def _excluded(self) -> list[str]:
        return [name for name, bits in self.layers.items() if bits == "float"]

    def _ends(self, names: list[str]) -> set[str]:
        """Return the layers that have 8 bits whatever the others have."""
        return {names[0], names[-1]} if names and self.ends == "eight" else set()

    def _bits(self, names: list[str]) -> dict[str, int | str]:
        """Return the bits of every layer's weights; of reduced range, 7 of the 8 that hold them."""
        common = dict.fromkeys(names, self.weight_bits)
        common |= dict.fromkeys(self._ends(names), _at_least_eight(self.weight_bits))
        chosen = common | self.layers
        return {name: 7 if b == 8 and self.reduce_range else b for name, b in chosen.items()}

    def _quantized_weights(
        self, bundle: ModelBundle, weights: dict[str, Tensor], context: Context
    ) -> dict[str, QuantizedWeight]:
        """Return weights on their grids; the bits of activations do not change them."""
        others = {"activation_bits", "activation_scheme", "calibration", "samples", "rounding"}
        key = digest("weights", bundle.hash, self.model_dump(mode="json", exclude=others))
        return context.memo(key, lambda: self._quantize_weights(weights))

    def _quantize_weights(self, weights: dict[str, Tensor]) -> dict[str, QuantizedWeight]:
        bits = self._bits(list(weights))
        return {
            name: self._quantize_weight(weight, bits[name])
            for name, weight in weights.items()
            if bits[name] != "float"
        }

    def _quantize_weight(self, weight: Tensor, bits: int | str) -> QuantizedWeight:
        import torch

        from optim.layers.grid import Grid, to_rows
        from optim.layers.statistics import Statistics
        from optim.layers.table import QuantizedWeight
        from optim.layers.ternary import ternary_weight

        symmetric = self.weight_scheme == "symmetric"
        grid = Grid.for_weights(bits, symmetric, self.granularity, self.group_size)  # type: ignore[arg-type]
        grid = grid.within(weight)
        rows = to_rows(weight, grid)
        if bits == "ternary":
            is_filled = rows.numel() > weight.numel()
            counts = to_rows(torch.ones_like(weight), grid).sum(1) if is_filled else None
            ternary = ternary_weight(rows, grid, counts)
            if self.scales == "any":
                return ternary
            return replace(ternary, scale=ternary.scale.log2().round().exp2())
        low, high = self.weight_calibration.limits(Statistics.of_rows(rows), grid)
        return QuantizedWeight(grid, *self._parameters(rows, grid, low, high))

    def _parameters(
        self, rows: Tensor, grid: Grid, low: Tensor, high: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return scale and zero point of rows that are to be covered from low to high."""
        from optim.layers.grid import power_of_two

        if self.scales == "power_of_two":
            return power_of_two(rows, grid, low, high)
        return grid.parameters(low, high)

    def _edges(
        self,
        bundle: ModelBundle,
        plan: QuantizationPlan | GraphPlan,
        names: list[str],
        context: Context,
        observed: _Observed,
    ) -> dict[str, QuantizedEdge]:
        """Return the grids of activations; the bits of weights do not change them."""
        fields = ("activation_bits", "activation_scheme", "calibration", "scales", "ends", "layers")
        key = digest(
            ("edges", observed.__name__, bundle.hash, self.samples, context.key, list(plan.edges)),
            self.model_dump(mode="json", include=set(fields)),
        )
        return context.memo(
            key, lambda: self._quantize_edges(observed(bundle, plan, context), plan, names)
        )

    def _observed(
        self, bundle: ModelBundle, plan: QuantizationPlan | GraphPlan, context: Context
    ) -> dict[str, Statistics]:
        """Return what the activations of a plan are on samples."""
        from optim.graph.plan import GraphPlan
        from optim.layers.statistics import collect_statistics
        from optim.runtime.run_graph import graph_statistics

        x, _ = context.calibration(self.samples)

        def observe() -> dict[str, Statistics]:
            if isinstance(plan, GraphPlan):
                return graph_statistics(bundle, plan, x, context.check)
            draft = context.sample_limit is not None
            return collect_statistics(bundle.module, plan, x.split(256), context.check, draft=draft)

        key = f"statistics:{bundle.hash}:{len(x)}:{plan.edges}:{context.key}"
        return context.memo(key, observe)

    def _quantize_edges(
        self,
        observed: dict[str, Statistics],
        plan: QuantizationPlan | GraphPlan,
        names: list[str],
    ) -> dict[str, QuantizedEdge]:
        from optim.layers.grid import Grid
        from optim.layers.table import QuantizedEdge

        assert self.activation_bits != "float"
        wide = {plan.inputs[name] for name in self._ends(names) if name in plan.inputs}
        symmetric = self.activation_scheme == "symmetric"
        edges = {}
        for name, statistics in observed.items():
            bits = max(8, self.activation_bits) if name in wide else self.activation_bits
            grid = Grid.for_activations(bits, symmetric)
            low, high = self.calibration.limits(statistics, grid)
            ends = (low * _OFF_TIES, high * _OFF_TIES)
            scale, zero_point = self._parameters(statistics.values, grid, *ends)
            edges[name] = QuantizedEdge(grid, float(scale), int(zero_point))
        return edges

    def _short_groups(self, weight: Tensor) -> str:
        """Return for the report where groups have fewer weights than was asked for, or nothing."""
        columns = weight[0].numel()
        if self.granularity != "per_group" or columns % self.group_size == 0:
            return ""
        if columns < self.group_size:
            return f": channels have {columns} weights, which are one group"
        return f": the last group of each channel has {columns % self.group_size} weights"

    def _report(
        self,
        given: Mapping[str, Tensor],
        weights: dict[str, QuantizedWeight],
        edges: dict[str, QuantizedEdge],
        kept: Mapping[str, str],
    ) -> StepReport:
        from optim.models.weighted import NO_WEIGHTS

        bits = self._bits(list(given))
        layers = [
            _layer_report(name, weights[name], bits[name], self._short_groups(weight))
            if name in weights
            else LayerReport(name, False, "kept in floating point by choice")
            for name, weight in given.items()
        ]
        notes = [] if layers or kept else [NO_WEIGHTS]
        if edges and self.granularity == "per_group":
            notes.append("Scales per group have no integer kernel: products run in floating point.")
        if edges and any(b == 16 for b in (self.activation_bits, self.weight_bits)):
            notes.append("16 bits have no integer kernel: products run in floating point.")
        return StepReport(
            f"{len(weights)} of {len(layers) + len(kept)} layers and {len(edges)} activations "
            "quantized.",
            (*layers, *(LayerReport(name, False, reason) for name, reason in kept.items())),
            tuple(notes),
        )


def _layer_report(name: str, weight: QuantizedWeight, bits: int | str, also: str) -> LayerReport:
    scales = len(weight.scale)
    what = bits if bits == "ternary" else f"{bits}-bit"
    return LayerReport(name, True, f"{what} weights, {scales:,} scale{'s' * (scales > 1)}{also}")


def _at_least_eight(bits: WeightBits) -> WeightBits:
    return bits if bits in ("float", 16) else 8


def _with_reasons(applied: Applied, spread: Spread) -> Applied:
    layers = tuple(
        replace(entry, detail=f"{entry.detail}; {spread.reasons[entry.layer]}")
        if entry.layer in spread.reasons
        else entry
        for entry in applied.report.layers
    )
    told = replace(applied, report=replace(applied.report, layers=layers))
    return _with_note(told, spread.note) if spread.note else told


def _with_note(applied: Applied, note: str) -> Applied:
    report = applied.report
    return replace(applied, report=replace(report, notes=(*report.notes, note)))


def _unobserved(
    bundle: ModelBundle, plan: QuantizationPlan | GraphPlan, context: Context
) -> dict[str, Statistics]:
    """Return what activations could be, as those behind a ReLU: from 0 to 1."""
    import torch

    from optim.layers.statistics import Statistics

    some = Statistics(torch.zeros(1, 1), torch.zeros(1), torch.ones(1))
    return dict.fromkeys(plan.edges, some)
