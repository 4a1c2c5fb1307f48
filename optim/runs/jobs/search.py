"""Search for a recipe that keeps limits, within a budget of time; see :mod:`optim.search`.

``spec`` is ``Asked.to_json()``, with ``"base"``, a folder, where model and data may be files;
without, only registered names are opened. What was found so far can be read at any moment
(:meth:`optim.runs.store.RunStore.live`), what was tried lies in a study named after the run: a run
whose worker was killed goes on with both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optim.runs.jobs.searching import search_options, watch_of
from optim.runs.work import Kind, Work

__all__ = ["KIND", "SEARCH"]

KIND = "search"
"""Name of the kind in the index."""


def _prepare() -> None:
    import optim.search.autopilot.plan
    import optim.train  # noqa: F401


def _work(work: Work) -> Mapping[str, Any]:
    """Search, keep what was found, and return it."""
    import torch

    from optim.search.autopilot.answer import answer_json, files_of
    from optim.search.autopilot.asked import Asked
    from optim.search.autopilot.plan import Autopilot

    torch.set_num_threads(work.threads)
    spec, where = search_options(work)
    asked = Asked.from_json(spec)
    autopilot = Autopilot(asked, watch_of(work), **where)
    answer = autopilot.run()
    story = autopilot.session.story
    for name, content in files_of(answer, asked, story).items():
        work.keep(name, content)
    return answer_json(answer, asked, story)


SEARCH = Kind("Search", _work, _prepare)
