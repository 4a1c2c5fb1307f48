"""What came of a search: as plain data for a page and the command line, and as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optim.quantity import Quantity
from optim.recipe import Recipe
from optim.search.autopilot.asked import Asked
from optim.search.autopilot.words import costs_text
from optim.search.candidate import Candidate
from optim.search.choosing import chosen, closest_miss, front_of, knee_of
from optim.search.found import answer_bytes, candidate_row, write_files
from optim.search.goals import Goals

if TYPE_CHECKING:
    from optim.search.autopilot.ending import Answer

__all__ = ["answer_json", "files_of", "save", "state_of"]

_ANSWER = "search.json"


def state_of(
    candidates: Sequence[Candidate],
    goals: Goals,
    original: Mapping[str, Quantity],
    original_quality: Quantity | None,
    *,
    story: Sequence[Mapping[str, Any]],
    stage: str,
    spent_s: float,
    seconds: float,
    whole: bool = False,
) -> dict[str, Any]:
    """Return what a search has so far, as plain data.

    Args:
        candidates: All that was kept.
        goals: What is asked for.
        original: Figures of the original.
        original_quality: Its figure of quality.
        story: What was said, with the seconds at which it was.
        stage: What is being done.
        spent_s: Seconds that were spent.
        seconds: The budget.
        whole: Whether only what was measured on all samples may be on the front.
    """
    front = front_of(candidates, goals, whole=whole)
    best = chosen(candidates, goals)
    closest = closest_miss(candidates, goals)
    knee = knee_of(front, goals)
    return {
        "goals": goals.to_json(),
        "limits": [limit.text for limit in goals.limits],
        "original": {name: value.shown() for name, value in original.items()},
        "original_quality": original_quality.shown() if original_quality else None,
        "candidates": [_row(candidate, goals) for candidate in candidates],
        "front": [candidate.number for candidate in front],
        "knee": knee.number if knee else None,
        "chosen": best.number if best else None,
        "closest": {"number": closest.candidate.number, "text": closest.text} if closest else None,
        "story": [dict(one) for one in story],
        "stage": stage,
        "spent_s": spent_s,
        "seconds": seconds,
    }


def answer_json(answer: Answer, asked: Asked, story: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a finished search as plain data; see ``docs/schemas/search-1.json``."""
    state = state_of(
        answer.candidates,
        answer.goals,
        answer.original,
        answer.original_quality,
        story=story,
        stage="",
        spent_s=answer.spent_s,
        seconds=asked.seconds,
        whole=True,
    )
    delivered = answer.delivery
    return {
        "schema": "optim.search/1",
        "model": asked.base.model,
        "data": asked.base.data,
        "seed": asked.base.seed,
        "satisfied": answer.chosen is not None and delivered is not None,
        "impossible": answer.impossible,
        "ended": answer.ended,
        **state,
        "chosen": answer.chosen.number if answer.chosen else None,
        "closest": answer.closest.to_json() if answer.closest else None,
        "tests": {str(number): value.shown() for number, value in answer.tests.items()},
        "verification": delivered.verification.to_json() if delivered else None,
        "files": sorted((_ANSWER, *_made(answer))),
        "earlier": [],
    }


def files_of(answer: Answer, asked: Asked, story: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    """Return the files of a finished search by name: answer, recipes of the front, the file."""
    return {_ANSWER: answer_bytes(answer_json(answer, asked, story)), **_made(answer)}


def save(
    folder: Path, answer: Answer, asked: Asked, story: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Write the files of a finished search into a folder; return the answer as it was written.

    Raises:
        ExportError: If the folder cannot be written.
    """
    return write_files(folder, files_of(answer, asked, story))


def _made(answer: Answer) -> dict[str, bytes]:
    """Return the files of what was found by name: recipes of the front, the one taken, its file."""
    files = {}
    for candidate in answer.front:
        recipe = Recipe.from_json(candidate.made["recipe"])
        files[f"front-{candidate.number}.yaml"] = recipe.to_yaml().encode()
    if answer.taken is not None:
        files["recipe.yaml"] = Recipe.from_json(answer.taken.made["recipe"]).to_yaml().encode()
    if answer.delivery is not None:
        files[f"model{answer.delivery.suffix}"] = answer.delivery.data
    return files


def _row(candidate: Candidate, goals: Goals) -> dict[str, Any]:
    return {
        **candidate_row(candidate, goals, costs_text(candidate.figures, goals)),
        "is_baseline": candidate.is_baseline,
        "recipe": candidate.made.get("recipe"),
    }
