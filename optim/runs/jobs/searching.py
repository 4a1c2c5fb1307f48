"""What runs that search have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optim.runs.work import Work
    from optim.search.watch import Watch

__all__ = ["search_options", "watch_of"]


def search_options(work: Work) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a run searches for, as plain data, and where it looks for files and studies."""
    from optim.runs.store import store_url
    from optim.search.study import studies_url, study_of

    spec: Mapping[str, Any] = work.run.spec
    asked = {name: value for name, value in spec.items() if name != "base"}
    base = spec.get("base")
    where = {
        "folder": Path(base or "."),
        "registered_only": base is None,
        "url": studies_url(store_url()),
    }
    return {**asked, "study": study_of(work.run.id)}, where


def watch_of(work: Work) -> Watch:
    """Return who watches: the run, which shows, keeps and stops."""
    from optim.search.watch import Watch

    def keep(name: str, content: bytes) -> None:
        work.keep(name, content)

    return Watch(
        progress=work.progress,
        check=work.check,
        say=work.event,
        publish=work.publish,
        states=work.checkpoint,
        record=work.record,
        trained=work.trained,
        keep=keep,
        is_enough=work.is_enough,
    )
