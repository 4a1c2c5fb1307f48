"""How many bits each layer's weights get.

==========  =====================================================================
uniform     the same for all: free
knapsack    as many bytes in all, more where outputs depend on it: needs samples
==========  =====================================================================
"""

from optim.techniques.budgets.knapsack import Knapsack
from optim.techniques.budgets.method import BudgetMethod, Offer, Spread
from optim.techniques.budgets.uniform import Uniform

__all__ = ["BUDGETS", "BudgetMethod", "Offer", "Spread", "Uniform"]

BUDGETS: dict[str, type[BudgetMethod]] = {
    "uniform": Uniform,
    "knapsack": Knapsack,
}
