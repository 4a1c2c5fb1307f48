"""The same bits for every layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optim.techniques.budgets.method import BudgetMethod, Spread

if TYPE_CHECKING:
    from optim.step import Context
    from optim.techniques.budgets.method import Offer

__all__ = ["Uniform"]


class Uniform(BudgetMethod):
    """Nothing is spread."""

    title: ClassVar[str] = "The same everywhere"

    def spread(self, offer: Offer, context: Context) -> Spread:
        """Return no layer with other bits."""
        return Spread()
