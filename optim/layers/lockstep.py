"""Run a model twice at once, as it was and as it will be deployed, and change it on the way.

What rounds a layer well depends on the inputs that the layer will get, and those depend on how
the layers before it were rounded. So both models go through the graph side by side, node after
node, and every layer is changed just before it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate

from optim.layers.graph import COMPUTE, kind_of, layer_of
from optim.layers.quantized_graph import FakeQuantize

__all__ = ["Lockstep", "Pair"]


@dataclass(frozen=True, eq=False)
class Pair:
    """One value of a graph.

    Attributes:
        exact: In the model as it was.
        deployed: In the model as it will be deployed.
    """

    exact: Any
    deployed: Any


class Lockstep(fx.Interpreter):
    """Runs a graph with quantizers on its edges, which only the deployed side passes.

    Args:
        traced: Result of :func:`optim.layers.quantized_graph.deployable_graph`; it is not changed.
        change: Given a layer's node and the inputs of both sides, returns the layer that the
            deployed side uses from here on, or None to leave it. Asked once a layer.
        check: Called at every node; raises to stop.
    """

    def __init__(
        self,
        traced: fx.GraphModule,
        change: Callable[[fx.Node, Tensor, Tensor], nn.Module | None],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(traced)
        self.change, self.check = change, check
        self.changed: dict[str, nn.Module] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Return what both sides give for a node."""
        self.check()
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        if n.op == "placeholder":
            value = super().run_node(n)
            return Pair(value, value)
        if n.op == "call_module" and kind_of(n) in COMPUTE and n.target not in self.changed:
            self.changed[str(n.target)] = self.change(
                n, args[0].exact, args[0].deployed
            ) or layer_of(n)
        exact = self._side(n, args, kwargs, False)
        # Up to the first difference both sides are one, and run once.
        return Pair(exact, self._side(n, args, kwargs, True) if self._differs(n) else exact)

    def _differs(self, n: fx.Node) -> bool:
        """Whether the deployed side gives something else than the exact one, or may."""
        if n.op == "call_module":
            layer = layer_of(n)
            if (
                isinstance(layer, FakeQuantize)
                or self.changed.get(str(n.target), layer) is not layer
            ):
                return True
        given = [self.env[source] for source in n.all_input_nodes]
        return any(pair.exact is not pair.deployed for pair in given)

    def _side(self, n: fx.Node, args: Any, kwargs: Any, deployed: bool) -> Any:
        def pick(value: Any) -> Any:
            if isinstance(value, Pair):
                return value.deployed if deployed else value.exact
            return value

        args, kwargs = map_aggregate(args, pick), map_aggregate(kwargs, pick)
        if n.op == "call_module":
            layer = layer_of(n)
            if isinstance(layer, FakeQuantize) and not deployed:
                return args[0]
            return (self.changed.get(str(n.target), layer) if deployed else layer)(*args, **kwargs)
        return getattr(self, n.op)(n.target, args, kwargs)
