"""Search for a recipe that keeps limits, within a budget of time; see :mod:`optim.search`.

``spec`` is ``Asked.to_json()``, with ``"base"``, a folder, where model and data may be files;
without, only registered names are opened. What was found so far can be read at any moment
(:meth:`optim.runs.store.RunStore.live`), what was tried lies in a study named after the run: a run
whose worker was killed goes on with both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optim.runs.work import Kind, Work

__all__ = ["KIND", "SEARCH", "study_of"]

KIND = "search"
"""Name of the kind in the index."""


def study_of(run_id: str) -> str:
    """Return the name of the study that keeps what a run tries."""
    return f"run {run_id}"


def _prepare() -> None:
    import optim.search.autopilot.plan
    import optim.train  # noqa: F401


def _work(work: Work) -> Mapping[str, Any]:
    """Search, keep what was found, and return it."""
    import torch

    from optim.runs.store import store_url
    from optim.search.autopilot.answer import answer_json, files_of
    from optim.search.autopilot.asked import Asked
    from optim.search.autopilot.plan import Autopilot
    from optim.search.study import studies_url
    from optim.search.watch import Watch

    def keep(name: str, content: bytes) -> None:
        work.keep(name, content)

    torch.set_num_threads(work.threads)
    spec = dict(work.run.spec)
    base = spec.pop("base", None)
    asked = Asked.from_json({**spec, "study": study_of(work.run.id)})
    autopilot = Autopilot(
        asked,
        Watch(
            progress=work.progress,
            check=work.check,
            say=work.event,
            publish=work.publish,
            states=work.checkpoint,
            record=work.record,
            trained=work.trained,
            keep=keep,
            is_enough=work.is_enough,
        ),
        folder=Path(base or "."),
        registered_only=base is None,
        url=studies_url(store_url()),
    )
    answer = autopilot.run()
    story = autopilot.session.story
    for name, content in files_of(answer, asked, story).items():
        work.keep(name, content)
    return answer_json(answer, asked, story)


SEARCH = Kind("Search", _work, _prepare)
