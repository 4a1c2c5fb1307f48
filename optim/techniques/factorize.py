"""Take layers apart into thinner ones. Fewer multiplications in dense kernels, on any runtime.

Ranks follow from the weights alone, so that size and MACs are known before any sample is looked at;
samples decide what the factors are. The factors are ordinary layers: pruning, quantization and
training go on with them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from optim.fields import Choice, PerLayer, Range
from optim.step import Applied, Context, LayerReport, Step, StepReport

if TYPE_CHECKING:
    from torch import Tensor, nn

    from optim.layers.low_rank import Form, Shapes
    from optim.models.bundle import ModelBundle

__all__ = ["Factorize"]


class Factorize(Step):
    """Low-rank factorization of dense layers and convolutions.

    **Differs from the papers**: ranks are chosen by the plain weights also where the factors take
    inputs into account; a layer is left whole where its factors would not save multiplications.
    """

    title: ClassVar[str] = "Factorize"
    about: ClassVar[str] = "Takes layers apart into thinner ones: fewer MACs, and weights."
    paper: ClassVar[str] = (
        "Kim et al., Compression of Deep Convolutional Neural Networks for Fast and Low Power "
        "Mobile Applications, 2016, arXiv:1511.06530; Jaderberg et al., Speeding up Convolutional "
        "Neural Networks with Low Rank Expansions, 2014, arXiv:1405.3866; Nakajima et al., Global "
        "Analytic Solution of Fully-observed Variational Bayesian Matrix Factorization, 2013; Wang "
        "et al., SVD-LLM, 2025, arXiv:2403.07378"
    )
    cost: ClassVar[Literal["instant", "calibrated", "training"]] = "calibrated"
    removes: ClassVar[frozenset[str]] = frozenset({"bn_measured", "recovered", "bias_corrected"})

    kernels: Annotated[
        Literal["tucker", "spatial"],
        Choice(
            options={"tucker": "Channels (Tucker-2)", "spatial": "Columns and rows"},
            label="Kernels",
            help="Fewer channels through the kernel, or a column and a row in its place.",
        ),
    ] = "tucker"
    rank: Annotated[
        Literal["energy", "ratio", "vbmf"],
        Choice(
            options={"energy": "By energy", "ratio": "By share", "vbmf": "By VBMF"},
            label="Rank",
            help="What share of the squared singular values is kept, a share of the full rank, or "
            "what stands out of noise.",
        ),
    ] = "energy"
    energy: Annotated[
        float,
        Range(
            low=0.3,
            high=1.0,
            step=0.01,
            scale="percent",
            label="Kept energy",
            help="Share of the squared singular values that is kept; all leaves layers whole.",
            when={"rank": ("energy",)},
        ),
    ] = 0.8
    ratio: Annotated[
        float,
        Range(
            low=0.02,
            high=1.0,
            step=0.02,
            scale="percent",
            label="Share of the rank",
            help="Rank of the factors, as a share of the full one; all leaves layers whole.",
            when={"rank": ("ratio",)},
        ),
    ] = 0.4
    inputs: Annotated[
        bool,
        Choice(
            options={True: "By inputs", False: "By weights"},
            label="Errors count",
            help="By how much they change outputs on samples, or all alike.",
            expert=True,
        ),
    ] = True
    samples: Annotated[
        int,
        Range(
            low=32,
            high=2048,
            step=32,
            scale="log",
            unit="samples",
            label="Samples",
            help="Training samples the covariance of inputs is taken from.",
            when={"inputs": (True,)},
            expert=True,
        ),
    ] = 256
    layers: Annotated[
        dict[str, float],
        PerLayer(
            overrides="ratio",
            label="Layers",
            help="Share of the full rank of single layers; 100 % leaves a layer whole.",
            alone={"rank": "ratio", "ratio": 1.0},
            tried=(0.6, 0.4, 0.2),
        ),
    ] = {}

    @property
    def is_neutral(self) -> bool:
        """Whether every layer stays whole."""
        whole = {"energy": self.energy >= 1, "ratio": self.ratio >= 1, "vbmf": False}
        return whole[self.rank] and all(share >= 1 for share in self.layers.values())

    def apply(self, bundle: ModelBundle, context: Context) -> Applied:
        """Return a model whose layers are taken apart, as a traced graph without architecture."""
        return self._applied(bundle, context, aware=self.inputs)

    def outline(self, bundle: ModelBundle, context: Context) -> ModelBundle:
        """Return the model with factors that no sample was looked at for."""
        return self._applied(bundle, context, aware=False).bundle

    def _applied(self, bundle: ModelBundle, context: Context, *, aware: bool) -> Applied:
        from optim.layers.low_rank import factors
        from optim.layers.rewrite import replace_layers, untreated_layers

        plans = self._plans(bundle)
        apart = {name: plan for name, plan in plans.items() if not plan.kept}
        seen = _covariances(bundle, apart, self.samples, context) if aware and apart else {}
        parts: dict[str, nn.Module] = {
            name: factors(bundle.module.get_submodule(name), plan.form, plan.ranks, seen.get(name))
            for name, plan in apart.items()
        }
        before = sum(plan.before for plan in plans.values())
        after = sum(plan.before if plan.kept else plan.after for plan in plans.values())
        kept = untreated_layers(bundle.module)
        report = StepReport(
            f"{len(apart)} of {len(plans) + len(kept)} layers taken apart, {before:,} MACs of "
            f"{'them' if not kept else f'{len(plans)} of them'} became {after:,}.",
            (
                *(plan.report(name) for name, plan in plans.items()),
                *(LayerReport(name, False, reason) for name, reason in kept.items()),
            ),
            _notes(apart, context.shortage(self.samples) if seen else ""),
        )
        if not parts:
            return Applied(bundle, report)
        content = replace_layers(bundle.module, parts)
        return Applied(bundle.with_program(content), report)

    def _plans(self, bundle: ModelBundle) -> dict[str, _Plan]:
        """Return what becomes of every layer with weights."""
        from optim.layers.low_rank import form_of, macs
        from optim.layers.rewrite import layer_shapes, weights_of

        shapes = layer_shapes(bundle.module, bundle.spec.shape)
        plans = {}
        for name, weight in weights_of(bundle.module, self.layers).items():
            form = form_of(bundle.module.get_submodule(name), self.kernels)
            before = macs(weight, None, (), shapes[name])
            if form not in ("matrix", "tucker", "spatial"):
                plans[name] = _Plan(before, kept=str(form))
            elif self.layers.get(name, 0.0) >= 1:
                plans[name] = _Plan(before, kept="left whole by choice")
            elif name in bundle.table.masks:
                plans[name] = _Plan(before, kept="single weights are masked; factorize first")
            else:
                plans[name] = self._plan(name, weight, form, shapes[name])  # type: ignore[arg-type]
        return plans

    def _plan(self, name: str, weight: Tensor, form: Form, at: Shapes) -> _Plan:
        from optim.layers.low_rank import macs

        before = macs(weight, None, (), at)
        ranks = self._ranks(name, weight, form)
        after = macs(weight, form, ranks, at)
        plan = _Plan(before, form, ranks, after)
        if after < before:
            return plan
        largest = _largest_that_saves(weight, form, ranks, at)
        what = " and ".join(map(str, ranks))
        nearest = f"; {' and '.join(map(str, largest))} would" if largest else ""
        return replace(plan, kept=f"rank {what} saves no multiplications{nearest}")

    def _ranks(self, name: str, weight: Tensor, form: Form) -> tuple[int, ...]:
        from optim.layers.low_rank import energy_rank, sides, spectra, variational_rank

        if self.rank == "ratio" or name in self.layers:
            share = self.layers.get(name, self.ratio)
            return tuple(max(1, round(share * min(side))) for side in sides(weight, form))
        found = spectra(weight, form)
        if self.rank == "energy":
            return tuple(energy_rank(spectrum, self.energy) for spectrum in found)
        both = zip(found, sides(weight, form), strict=True)
        return tuple(variational_rank(spectrum, *side) for spectrum, side in both)


def _notes(apart: dict[str, _Plan], few: str) -> tuple[str, ...]:
    if not apart:
        return ("No layer would save multiplications at these ranks.",)
    return (few,) if few else ()


@dataclass(frozen=True)
class _Plan:
    """What becomes of one layer.

    Attributes:
        before: Its MACs.
        form: How it is taken apart.
        ranks: Of the factors.
        after: MACs of the factors.
        kept: Why it stays whole; empty if it does not.
    """

    before: int
    form: Form = "matrix"
    ranks: tuple[int, ...] = ()
    after: int = 0
    kept: str = ""

    def report(self, name: str) -> LayerReport:
        """Return what is said of the layer."""
        if self.kept:
            return LayerReport(name, False, self.kept)
        how = {"matrix": "two layers", "tucker": "three layers", "spatial": "a column and a row"}
        ranks = " and ".join(map(str, self.ranks))
        saved = 1 - self.after / self.before
        return LayerReport(
            name, True, f"{how[self.form]} of rank {ranks}, {saved:.0%} fewer MACs", saved
        )


def _largest_that_saves(
    weight: Tensor, form: Form, ranks: tuple[int, ...], at: Shapes
) -> tuple[int, ...] | None:
    """Return the ranks nearest below these, in proportion, that save multiplications."""
    from optim.layers.low_rank import macs

    before = macs(weight, None, (), at)
    for top in range(max(ranks) - 1, 0, -1):
        smaller = tuple(max(1, rank * top // max(ranks)) for rank in ranks)
        if macs(weight, form, smaller, at) < before:
            return smaller
    return None


def _covariances(
    bundle: ModelBundle, plans: dict[str, _Plan], samples: int, context: Context
) -> dict[str, Tensor]:
    """Return what the inputs of layers are like on samples, see ``input_covariance``."""
    import torch

    from optim.layers.low_rank import input_covariance

    x, _ = context.calibration(samples)
    forms = {name: plan.form for name, plan in plans.items()}
    found: dict[str, Tensor] = {}

    def observe() -> None:
        """Look at all layers at once: whoever asks for the next one finds it here."""

        def look(name: str, form: Form) -> torch.utils.hooks.RemovableHandle:
            layer = bundle.module.get_submodule(name)

            def add(_: nn.Module, given: tuple[Tensor, ...]) -> None:
                own = input_covariance(layer, form, given[0])
                found[name] = found[name] + own if name in found else own

            return layer.register_forward_pre_hook(add)

        hooks = [look(name, form) for name, form in forms.items()]
        try:
            with torch.no_grad():
                for batch in x.split(128):
                    context.check()
                    bundle.module(batch)
        finally:
            for hook in hooks:
                hook.remove()

    def of(name: str) -> Tensor:
        if name not in found:
            observe()
        return found[name]

    # Kept layer by layer: what takes apart one layer after the other looks at samples once.
    about = f"covariance:{bundle.hash}:{len(x)}:{context.key}"
    return {
        name: context.memo(f"{about}:{name}:{form}", partial(of, name))
        for name, form in forms.items()
    }
