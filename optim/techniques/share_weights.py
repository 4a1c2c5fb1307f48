"""Let the weights of a layer share a few values. Needs no data.

What is stored is a list of values for each layer and, for every weight, which of them it takes.
Unlike on a grid the values lie where the weights are, so that fewer of them do. Kernels compute in
floating point: a file becomes smaller, and not faster. Together with zeros and entropy coding it is
what Deep Compression does; *Quantization-aware fine-tuning* trains the values.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from optim.fields import Choice, PerLayer
from optim.step import Applied, Context, LayerReport, Step, StepReport

if TYPE_CHECKING:
    from torch import Tensor

    from optim.layers.table import SharedWeight
    from optim.models.bundle import ModelBundle

__all__ = ["ShareWeights"]

SharedBits = Literal[1, 2, 3, 4, 5, 6, 7, 8, "float"]
_BITS = {1: "1", 2: "2", 3: "3", 4: "4", 5: "5", 6: "6", 7: "7", 8: "8", "float": "float"}


class ShareWeights(Step):
    """K-means codebooks, one a layer.

    **Differs from the paper**: zero is always in the list and never a cluster, whether a weight is
    masked or not; batch norm is folded first; values are kept as bfloat16.
    """

    title: ClassVar[str] = "Share weights"
    about: ClassVar[str] = "Clusters the weights of each layer: smaller once packed, not faster."
    paper: ClassVar[str] = (
        "Han et al., Deep Compression: Compressing Deep Neural Networks with Pruning, Trained "
        "Quantization and Huffman Coding, 2015, arXiv:1510.00149"
    )
    cost: ClassVar[Literal["instant", "calibrated", "training"]] = "instant"
    lanes: ClassVar[frozenset[str]] = frozenset({"torch", "graph"})
    ensures: ClassVar[frozenset[str]] = frozenset({"quantized"})
    removes: ClassVar[frozenset[str]] = frozenset({"float", "bias_corrected"})

    bits: Annotated[
        SharedBits,
        Choice(
            options=_BITS,
            ordered=True,
            unit="bits",
            label="Bits",
            help="Bits of an index: of 4 there are zero and 15 values.",
        ),
    ] = 4
    start: Annotated[
        Literal["linear", "density", "random"],
        Choice(
            options={"linear": "Evenly", "density": "By density", "random": "At random"},
            label="First values",
            help="Where clusters begin. Evenly keeps the few large weights, which matter most.",
            expert=True,
        ),
    ] = "linear"
    bias_bits: Annotated[
        SharedBits,
        Choice(
            options=_BITS,
            ordered=True,
            unit="bits",
            label="Bias bits",
            help="In layers whose weights share values, biases share others; they count where "
            "nearly all weights are zero. Those of ONNX graphs stay.",
            expert=True,
        ),
    ] = "float"
    layers: Annotated[
        dict[str, SharedBits],
        PerLayer(
            overrides="bits",
            label="Layers",
            skip="float",
            help="Bits of single layers; float leaves a layer alone.",
            alone={"bits": "float", "bias_bits": "float"},
            tried=(4, 3, 2),
        ),
    ] = {}

    @property
    def is_neutral(self) -> bool:
        """Whether every weight keeps its value, and nothing is asked of biases."""
        return self.bias_bits == "float" and not self._shares

    @property
    def _shares(self) -> bool:
        return any(bits != "float" for bits in (self.bits, *self.layers.values()))

    def apply(self, bundle: ModelBundle, context: Context) -> Applied:
        """Return the model with codebooks in its compression table.

        An ONNX graph is folded, and its weights take the shared values; its biases stay.

        Raises:
            ConfigError: If biases were to share values while no layer's weights do.
        """
        from optim.errors import ConfigError
        from optim.models.weighted import NO_WEIGHTS, kept_weights, model_weights, with_weights
        from optim.runtime.run_graph import editable

        if not self._shares:
            raise ConfigError(
                f"Biases share values only in layers whose weights do: got bias_bits="
                f"{self.bias_bits} with bits=float and no layer that has bits of its own.",
                hint="Choose bits from 1 to 8, for all layers or single ones, or bias_bits=float.",
                field="bias_bits",
            )
        bundle = editable(bundle, context.memo)
        names = list(model_weights(bundle, self.layers))
        kept = kept_weights(bundle)
        books = self._books(_deployed(bundle), context)
        table = bundle.table.with_codebooks(books)
        if bundle.lane == "graph":
            bundle = with_weights(bundle, {name: book.values() for name, book in books.items()})
        layers = [self._layer_report(name, books.get(name)) for name in names]
        report = StepReport(
            f"{len(books)} of {len(layers) + len(kept)} layers share "
            f"{sum(len(book.book) - 1 for book in books.values()):,} values and zero.",
            (*layers, *(LayerReport(name, False, reason) for name, reason in kept.items())),
            self._notes(bundle) if names or kept else (NO_WEIGHTS,),
        )
        return Applied(bundle.with_table(table), report)

    def _notes(self, bundle: ModelBundle) -> tuple[str, ...]:
        if bundle.lane == "torch" or self.bias_bits == "float":
            return ()
        return (
            f"Biases of an ONNX graph keep their values: bias_bits={self.bias_bits} is unused.",
        )

    def _layer_report(self, name: str, book: SharedWeight | None) -> LayerReport:
        if book is None:
            also = "" if self.bias_bits == "float" else ", and its biases with its weights"
            return LayerReport(name, False, f"kept in floating point by choice{also}")
        zeros = float((book.ranks == 0).float().mean())
        also = f", {len(book.bias.book) - 1} in its biases" if book.bias else ""
        return LayerReport(
            name, True, f"{len(book.book) - 1} values{also}; {zeros:.0%} of the weights are zero"
        )

    def _books(
        self, weights: dict[str, tuple[Tensor, Tensor | None]], context: Context
    ) -> dict[str, SharedWeight]:
        from optim.layers.sharing import shared

        generator = context.generator()
        books = {}
        for name, (weight, bias) in weights.items():
            bits = self.layers.get(name, self.bits)
            if bits == "float":
                continue
            book = shared(weight, bits, self.start, generator)
            if bias is not None and self.bias_bits != "float":
                book = replace(book, bias=shared(bias, self.bias_bits, self.start, generator))
            books[name] = book
        return books


def _deployed(bundle: ModelBundle) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Return weights, and of modules biases, with batch norm folded in."""
    from optim.models.weighted import model_weights

    weights = model_weights(bundle)
    if bundle.lane == "graph":
        return {name: (weight, None) for name, weight in weights.items()}
    traced = bundle.deployable()
    found: dict[str, tuple[Tensor, Tensor | None]] = {}
    for name in weights:
        layer = traced.get_submodule(name)
        bias = None if layer.bias is None else layer.get_parameter("bias").detach()
        found[name] = (layer.get_parameter("weight").detach(), bias)
    return found
