"""Cards of the trained models that can be asked for by name. Plain JSON beside the weights.

Reading a card is cheap and needs no torch, so that a page can list models without opening them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optim.hashing import digest_file
from optim.quantity import Quantity
from optim.storage import ASSETS, store_home

__all__ = ["ModelCard", "model_cards"]


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
        command: What makes it again; empty if it came from outside.
        weights: The checkpoint beside the card, or the ONNX file of a model that cannot be changed.
        listed: Whether everybody sees it in lists.
        note: What a reader should know about the file it came from.
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

    @property
    def is_trainable(self) -> bool:
        """Whether it can be changed; what is kept as an ONNX graph can only be measured."""
        return self.weights.suffix != ".onnx"

    @property
    def hash(self) -> str:
        """Content hash of the weights file: another model under the same name has another."""
        return digest_file(self.weights)

    @classmethod
    def read(cls, path: Path) -> ModelCard:
        """Read a card; the weights have its name and lie beside it."""
        data = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            name=path.stem,
            title=data["title"],
            data=data["data"],
            architecture=data["architecture"],
            params=data["params"],
            macs=data["macs"],
            accuracy={k: Quantity.from_json(v) for k, v in data.get("accuracy", {}).items()},
            command=data.get("command", ""),
            weights=_weights_of(path) or path.with_suffix(".safetensors"),
            listed=data.get("listed", True),
            note=data.get("note", ""),
        )


def model_cards() -> dict[str, ModelCard]:
    """Return the cards of all models that ship or were added on this machine, by name."""
    return {card.name: card for card in (ModelCard.read(path) for path in _card_files())}


def _card_files() -> Iterator[Path]:
    for folder in (ASSETS / "models", store_home() / "models"):
        for path in sorted(folder.glob("*.json")):
            if _weights_of(path) is not None:
                yield path


def _weights_of(card: Path) -> Path | None:
    """Return the file beside a card, or None."""
    files = (card.with_suffix(suffix) for suffix in (".safetensors", ".onnx"))
    return next((file for file in files if file.is_file()), None)
