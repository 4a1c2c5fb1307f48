"""The kinds of work that runs do.

A kind is one file with one :class:`~optim.runs.work.Kind` and one line below. What it computes with
is imported inside its functions: the web server reads this index and never computes.
"""

from __future__ import annotations

from optim.runs.jobs.alternatives import ALTERNATIVES
from optim.runs.jobs.nas import KIND as NAS_KIND
from optim.runs.jobs.nas import NAS
from optim.runs.jobs.recipe import RECIPE
from optim.runs.jobs.search import KIND as SEARCH_KIND
from optim.runs.jobs.search import SEARCH
from optim.runs.jobs.share import KIND as SHARE_KIND
from optim.runs.jobs.share import SHARE
from optim.runs.jobs.submission import KIND as SUBMISSION_KIND
from optim.runs.jobs.submission import SUBMISSION
from optim.runs.jobs.training import NETWORK_TRAINING, RECIPE_TRAINING
from optim.runs.work import Kind
from optim.search.executor import NETWORK_KIND, RECIPE_KIND

__all__ = ["JOBS"]

JOBS: dict[str, Kind] = {
    "recipe": RECIPE,
    "alternatives": ALTERNATIVES,
    SEARCH_KIND: SEARCH,
    NAS_KIND: NAS,
    SHARE_KIND: SHARE,
    SUBMISSION_KIND: SUBMISSION,
    RECIPE_KIND: RECIPE_TRAINING,
    NETWORK_KIND: NETWORK_TRAINING,
}
