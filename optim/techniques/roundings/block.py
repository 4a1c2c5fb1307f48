"""Learn the rounding of weights and the steps of activations together, block after block.

Minutes without labels: worth it where activations have 4 bits or fewer, or weights 2.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from optim.errors import ConfigError
from optim.fields import Range
from optim.techniques.roundings.method import RoundingMethod, rounded_by_layer

if TYPE_CHECKING:
    from torch import Tensor

    from optim.models.bundle import ModelBundle
    from optim.step import Context

__all__ = ["Block"]


class Block(RoundingMethod):
    """Block reconstruction with activations quantized at random, from where GPTQ ends.

    **Differs from the papers**: learning starts from error-compensated rounding and takes a
    fortieth of the steps; a block whose learned outputs err more than those it started from keeps
    what it had; and all errors of its outputs count alike, where the paper weighs them by the
    gradient of the loss.
    """

    title: ClassVar[str] = "Block reconstruction"
    paper: ClassVar[str] = (
        "Li et al., BRECQ: Pushing the Limit of Post-Training Quantization by Block "
        "Reconstruction, 2021, arXiv:2102.05426; Wei et al., QDrop: Randomly Dropping "
        "Quantization for Extremely Low-bit Post-Training Quantization, 2022, arXiv:2203.05740"
    )

    iterations: Annotated[
        int,
        Range(
            low=50,
            high=20_000,
            step=50,
            scale="decades",
            label="Iterations",
            help="Steps of the optimiser for each block.",
        ),
    ] = 500
    batch_size: Annotated[
        int,
        Range(
            low=8,
            high=128,
            step=8,
            scale="log",
            unit="samples",
            label="Batch size",
            help="Samples in a step.",
            expert=True,
        ),
    ] = 32

    @property
    def passes(self) -> int:
        """Return what learning costs: forward and backward through every block."""
        return 3 * self.iterations * self.batch_size

    def rounded(self, bundle: ModelBundle, inputs: Tensor, context: Context) -> ModelBundle:
        """Return the model with learned integers and steps.

        Raises:
            ConfigError: If the model is a graph that stays as it is: it has no gradients.
        """
        from optim.layers.block_rounding import reconstructed
        from optim.layers.reconstruction import most_samples
        from optim.layers.rounding import compensated

        if bundle.lane != "torch":
            raise ConfigError(
                "Block reconstruction needs layers that torch can train.",
                hint="Choose GPTQ or AdaRound.",
                field="rounding",
            )
        first = replace(context, progress=lambda share, what: context.progress(share / 10, what))
        started = rounded_by_layer(bundle, inputs, first, compensated)
        table = reconstructed(
            bundle.module,
            started.table,
            inputs[: most_samples(bundle.module, bundle.spec.shape)],
            iterations=self.iterations,
            batch_size=self.batch_size,
            generator=context.generator(),
            check=context.check,
            progress=lambda share, what: context.progress(0.1 + 0.9 * share, what),
        )
        return bundle.with_table(table)
