"""Cards of the trained models that can be asked for by name. Plain JSON beside the weights.

Reading a card is cheap and needs no torch, so that a page can list models without opening them. A
damaged card is left out of the lists, and the log says so: the others are still there.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from optim.errors import UnsupportedModelError
from optim.hashing import digest_file
from optim.models.zoo import architecture_from_json
from optim.quantity import Quantity
from optim.storage import ASSETS, store_home

__all__ = ["ModelCard", "model_cards"]

_LOG = logging.getLogger(__name__)
_FIELDS = {"title": str, "data": str, "architecture": dict, "params": int, "macs": int}
_MORE = {
    "accuracy": dict,
    "map": dict,
    "command": str,
    "listed": bool,
    "note": str,
    "task": str,
    "owner": str,
    "input_shape": list,
}


@dataclass(frozen=True)
class ModelCard:
    """What a reader should know before opening a model.

    Attributes:
        name: How to ask for it.
        title: Name for a reader.
        data: The data set it was trained on or belongs to.
        architecture: ``{family: fields}``; empty if it came as an ONNX file.
        params: Number of parameters.
        macs: Multiply-accumulates for one sample.
        accuracy: ``{part: Quantity}`` reached when it was made; may be empty.
        precision: The same of mAP@0.5:0.95, of what finds objects.
        command: What makes it again; empty if it came from outside.
        weights: The checkpoint beside the card, or the ONNX file of a model that cannot be changed.
        listed: Whether everybody sees it in lists.
        note: What a reader should know about the file it came from.
        owner: Id of who uploaded it; empty for what ships or came by the command line.
        task: What the outputs of an ONNX file mean, where somebody said so; empty for a guess.
        input_shape: Shape of one sample; empty where only the data say it.
    """

    name: str
    title: str
    data: str
    architecture: dict[str, Any]
    params: int
    macs: int
    accuracy: dict[str, Quantity]
    command: str
    weights: Path
    listed: bool = True
    note: str = ""
    owner: str = ""
    task: str = ""
    input_shape: tuple[int, ...] = ()
    precision: dict[str, Quantity] = field(default_factory=dict)

    @property
    def reached(self) -> dict[str, Quantity]:
        """What was reached, in the figure by which it is judged."""
        return self.accuracy or self.precision

    @property
    def is_trainable(self) -> bool:
        """Whether its layers can be trained; of an ONNX graph only weights can be changed."""
        return self.weights.suffix != ".onnx"

    @property
    def lane(self) -> Literal["torch", "graph"]:
        """What kind of model it is, see ``ModelBundle.lane``."""
        return "torch" if self.is_trainable else "graph"

    @property
    def kind(self) -> str:
        """What it is for, the kind of its task; empty if the card does not say it."""
        return architecture_from_json(self.architecture).kind if self.architecture else ""

    @property
    def hash(self) -> str:
        """Content hash of the weights file: another model under the same name has another."""
        return digest_file(self.weights)

    @classmethod
    def read(cls, path: Path) -> ModelCard:
        """Read a card; the weights have its name and lie beside it.

        Raises:
            UnsupportedModelError: If the card is damaged.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            _check_fields(data)
            accuracy, precision = (
                {part: Quantity.from_json(figure) for part, figure in data.get(name, {}).items()}
                for name in ("accuracy", "map")
            )
            shape = tuple(map(int, data.get("input_shape", ())))
        except (
            *(OSError, LookupError, TypeError, ValueError, OverflowError, RecursionError),
        ) as error:
            raise UnsupportedModelError(
                f"The card {path.name!r} of a model is damaged.", hint="Add the model again."
            ) from error
        return cls(
            name=path.stem,
            title=data["title"],
            data=data["data"],
            architecture=data["architecture"],
            params=data["params"],
            macs=data["macs"],
            accuracy=accuracy,
            command=data.get("command", ""),
            weights=_weights_of(path) or path.with_suffix(".safetensors"),
            listed=data.get("listed", True),
            note=data.get("note", ""),
            task=data.get("task", ""),
            owner=data.get("owner", ""),
            precision=precision,
            input_shape=shape,
        )


def model_cards() -> dict[str, ModelCard]:
    """Return the cards of all models that ship or were added on this machine, by name."""
    cards = {}
    for path in _card_files():
        try:
            cards[path.stem] = ModelCard.read(path)
        except UnsupportedModelError as error:
            _LOG.warning("%s It is left out: %s", error.message, error.__cause__)
    return cards


def _check_fields(data: Any) -> None:
    """Refuse what is missing or of another type than a page can show."""
    if not isinstance(data, dict):
        raise TypeError("it is no mapping")
    for name, kind in (_FIELDS | _MORE).items():
        if type(data[name] if name in _FIELDS else data.get(name, kind())) is not kind:
            raise TypeError(f"{name} is not of type {kind.__name__}")


def _card_files() -> Iterator[Path]:
    for folder in (ASSETS / "models", store_home() / "models"):
        for path in sorted(folder.glob("*.json")):
            if _weights_of(path) is not None:
                yield path


def _weights_of(card: Path) -> Path | None:
    """Return the file beside a card, or None."""
    files = (card.with_suffix(suffix) for suffix in (".safetensors", ".onnx"))
    return next((file for file in files if file.is_file()), None)
