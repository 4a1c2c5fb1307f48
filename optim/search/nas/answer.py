"""What came of a search: as plain data for a page and the command line, and as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optim.models.architecture import Architecture
from optim.models.zoo import ARCHITECTURES
from optim.quantity import Quantity
from optim.search.candidate import Candidate
from optim.search.choosing import best_or_closest, closest_miss, front_of, knee_of
from optim.search.found import WEIGHTS, answer_bytes, candidate_row, write_files
from optim.search.goals import Goals
from optim.search.nas.asked import Asked
from optim.search.nas.halving import taken
from optim.search.nas.trust import trust_of
from optim.search.nas.words import doubts_about, figures_text
from optim.search.space import Space

if TYPE_CHECKING:
    from optim.search.nas.ending import Answer

__all__ = ["answer_json", "files_of", "save", "state_of"]

_ANSWER = "nas.json"


def state_of(
    candidates: Sequence[Candidate],
    goals: Goals,
    asked: Asked,
    space: Space,
    *,
    layers: Mapping[int, Sequence[Mapping[str, Any]]],
    supernet: Mapping[str, Any] | None = None,
    repeated: Mapping[int, Quantity] | None = None,
    chance: float = 0.0,
    story: Sequence[Mapping[str, Any]],
    stage: str,
    spent_s: float,
) -> dict[str, Any]:
    """Return what a search has so far, as plain data.

    Args:
        candidates: All that was kept.
        goals: What is weighed and limited.
        asked: What was asked for.
        space: What may be tried.
        layers: ``{candidate number: layers that multiply}`` of what was trained.
        supernet: What networks with shared weights reach; None without a supernet.
        repeated: ``{candidate number: error over seeds}`` of what was trained again.
        chance: Accuracy of naming the most common class of the validation samples every time.
        story: What was said, with the seconds at which it was.
        stage: What is being done.
        spent_s: Seconds that were spent.
    """
    front = front_of(candidates, goals, whole=True)
    best, closest, knee = (
        taken(candidates, goals),
        closest_miss(candidates, goals),
        knee_of(front, goals),
    )
    wanted = best_or_closest(best, closest)
    family: type[Architecture] = ARCHITECTURES[asked.space]
    return {
        "space": {
            "family": asked.space,
            "title": family.title,
            "networks": space.count(),
            "dimensions": [
                {
                    "name": d.name,
                    "label": d.label,
                    "values": list(d.values),
                    "is_ordered": d.is_ordered,
                }
                for d in space
            ],
        },
        "goals": goals.to_json(),
        "limits": [limit.text for limit in goals.limits],
        "candidates": [_row(c, goals, layers.get(c.number, ())) for c in candidates],
        "front": [candidate.number for candidate in front],
        "knee": knee.number if knee else None,
        "chosen": best.number if best else None,
        "closest": {"number": closest.candidate.number, "text": closest.text} if closest else None,
        "chance": chance,
        "doubts": doubts_about(wanted, asked.epochs, chance) if wanted else [],
        "supernet": dict(supernet) if supernet else None,
        "seeds": {str(number): value.shown() for number, value in (repeated or {}).items()},
        "trust": [trust.to_json() for trust in trust_of(candidates)],
        "story": [dict(one) for one in story],
        "stage": stage,
        "spent_s": spent_s,
        "seconds": asked.seconds,
    }


def answer_json(answer: Answer, asked: Asked, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a finished search as plain data; see ``docs/schemas/nas-1.json``.

    Args:
        answer: What came of it.
        asked: What was asked for.
        state: As :func:`state_of` gives it.
    """
    delivered, wanted = answer.delivery, answer.taken
    # What a file was thought to have is in the study, what it has is not.
    goals = Goals.from_json(state["goals"])
    written = {
        number: candidate_row(c, goals, figures_text(c.figures, goals))
        for number, c in answer.written.items()
    }
    rows = [{**row, **written.get(row["number"], {})} for row in state["candidates"]]
    return {
        "schema": "optim.nas/1",
        "data": asked.data,
        "seed": asked.seed,
        "precision": asked.precision,
        "method": asked.method,
        "satisfied": answer.chosen is not None and delivered is not None,
        "impossible": answer.impossible,
        "ended": answer.ended,
        **state,
        "candidates": rows,
        "stage": "",
        "chosen": answer.chosen.number if answer.chosen else None,
        "closest": answer.closest.to_json() if answer.closest else None,
        "doubts": doubts_about(wanted, asked.epochs, state["chance"]) if wanted else [],
        "tests": {str(number): value.shown() for number, value in answer.tests.items()},
        "verification": delivered.verification.to_json() if delivered else None,
        "files": sorted((_ANSWER, *_made(answer))),
        "earlier": [],
    }


def files_of(answer: Answer, found: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files of a finished search by name.

    The answer; the trained weights of the front; of the network that is taken the weights, the
    recipe that makes its file of them, and the verified file.

    Args:
        answer: What came of it.
        found: As :func:`answer_json` gives it.
    """
    return {_ANSWER: answer_bytes(found), **_made(answer)}


def save(folder: Path, answer: Answer, found: Mapping[str, Any]) -> dict[str, Any]:
    """Write the files of a finished search into a folder; return the answer as it was written.

    Raises:
        ExportError: If the folder cannot be written.
    """
    return write_files(folder, files_of(answer, found))


def _made(answer: Answer) -> dict[str, bytes]:
    """Return the files of what was found by name."""
    files = {f"front-{number}.safetensors": weights for number, weights in answer.front.items()}
    if answer.taken is not None and answer.recipe is not None:
        files[WEIGHTS] = answer.weights
        files["recipe.yaml"] = answer.recipe.to_yaml().encode()
    if answer.delivery is not None:
        files[f"model{answer.delivery.suffix}"] = answer.delivery.data
    return files


def _row(candidate: Candidate, goals: Goals, layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        **candidate_row(candidate, goals, figures_text(candidate.figures, goals)),
        "point": dict(candidate.point),
        "architecture": candidate.made.get("architecture"),
        "epochs": candidate.made.get("epochs", 0),
        "scores": dict(candidate.scores),
        "layers": [dict(layer) for layer in layers],
    }
