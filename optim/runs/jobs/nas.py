"""Search for an architecture within a budget of time; see :mod:`optim.search.nas`.

``spec`` is ``Asked.to_json()``, with ``"base"``, a folder, where the data may be files; without,
only registered data are opened. What was found so far can be read at any moment
(:meth:`optim.runs.store.RunStore.live`), what was tried lies in a study named after the run, what
is being trained in its checkpoints: a run whose worker was killed goes on with all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optim.runs.jobs.searching import search_options, watch_of
from optim.runs.work import Kind, Work

__all__ = ["KIND", "NAS"]

KIND = "nas"
"""Name of the kind in the index."""


def _prepare() -> None:
    import optim.search.nas.plan
    import optim.train  # noqa: F401


def _work(work: Work) -> Mapping[str, Any]:
    """Search, keep what was found, and return it."""
    import torch

    from optim.search.nas.answer import answer_json, files_of
    from optim.search.nas.asked import Asked
    from optim.search.nas.plan import ArchitectureSearch

    torch.set_num_threads(work.threads)
    spec, where = search_options(work)
    asked = Asked.from_json(spec)
    search = ArchitectureSearch(asked, watch_of(work), **where)
    answer = search.run()
    found = answer_json(answer, asked, search.session.state())
    for name, content in files_of(answer, found).items():
        work.keep(name, content)
    return found


NAS = Kind("Architecture search", _work, _prepare)
