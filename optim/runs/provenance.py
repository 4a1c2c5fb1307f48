"""What came from what: models, and the runs that were made of them and of each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from optim.errors import OptimError
from optim.models.cards import model_cards
from optim.runs.contenders import Contender
from optim.runs.run import Run

__all__ = ["Descent", "descent_of"]

_MOST = 60
"""Nodes; a family of more cannot be read in one drawing."""


@dataclass(frozen=True)
class Descent:
    """One node of the tree.

    Attributes:
        id: Unique: ``model:NAME``, or the short name of what is compared, or the id of a run.
        title: For a reader.
        kind: ``"model"``, ``"run"``, ``"preset"``, ``"snapshot"`` or ``"recipe"``.
        parents: Ids of the nodes it came from.
        depth: Steps from the farthest ancestor.
        compared: Whether it is one of those that stand side by side.
    """

    id: str
    title: str
    kind: str
    parents: tuple[str, ...]
    depth: int
    compared: bool

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "parents": list(self.parents)}


def descent_of(
    contenders: Sequence[Contender],
    run_of: Callable[[str], Run],
    may_see: Callable[[Run], bool] = lambda run: True,
) -> list[Descent]:
    """Return what is compared with everything it came from, ancestors first.

    Args:
        contenders: What is compared.
        run_of: Finds a run by its id.
        may_see: Whether a run that is not named, but an ancestor, may be told about.
    """
    titles: dict[str, tuple[str, str]] = {}
    parents: dict[str, tuple[str, ...]] = {}

    def add_model(name: str) -> str:
        card = model_cards().get(name)
        node = f"model:{name}"
        titles.setdefault(node, (card.title if card else name, "model"))
        parents.setdefault(node, ())
        return node

    def add_run(run: Run) -> None:
        if run.id in parents or len(parents) >= _MOST:
            return
        titles[run.id] = (run.title, "run")
        parents[run.id] = ()
        found = []
        for parent in run.parents:
            try:
                other = run_of(parent)
            except OptimError:
                continue  # purged since
            if other.id in names or may_see(other):
                add_run(other)
                found += [other.id] if other.id in parents else []
        model = (run.spec.get("recipe") or {}).get("model")
        if not found and model:
            found = [add_model(str(model))]
        parents[run.id] = tuple(found)

    names = {contender.ref for contender in contenders}
    for contender in contenders:
        if contender.run:
            try:
                add_run(run_of(contender.run))
            except OptimError:
                continue
        elif contender.recipe is not None:
            base = add_model(contender.recipe.model)
            if contender.ref != base:
                titles[contender.ref] = (contender.title, contender.kind)
                parents[contender.ref] = (base,)
    depths: dict[str, int] = {}

    def depth(node: str, seen: frozenset[str] = frozenset()) -> int:
        if node not in depths:
            above = [depth(p, seen | {node}) for p in parents[node] if p not in seen | {node}]
            depths[node] = 1 + max(above) if above else 0
        return depths[node]

    found = [
        Descent(node, *titles[node], parents[node], depth(node), node in names) for node in parents
    ]
    return sorted(found, key=lambda node: node.depth)
