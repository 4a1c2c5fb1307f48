"""A measured model to compare later ones with: one JSON file, and its ONNX file beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np

from optim.data.dataset import Dataset
from optim.errors import ConfigError, DataError
from optim.hashing import digest
from optim.measure.predictions import Predictions, accuracy_change
from optim.quantity import Comparison, Quantity
from optim.runner import Measured
from optim.storage import write_atomic

__all__ = ["Baseline", "check_lasting", "check_place"]

_SCHEMA = "optim.baseline/1"

_Split = Literal["train", "test"]


@dataclass(frozen=True)
class Baseline:
    """A measured model to compare later ones with.

    Attributes:
        data: Content hash of the data set, splits included.
        part: The part that was measured.
        split: Where its validation samples come from, for data without a validation part.
        seed: Decides how data without a validation part are split.
        ids: Hash of the sorted sample ids.
        n: Number of samples.
        wrong: Sorted ids of the samples that were classified wrongly; empty without labels.
        accuracy: Of the model; None where the samples have no labels.
        size: Bytes of its ONNX file.
        file: The ONNX file itself; None where it is not available.
        missing: Why it is not; empty where it is.
    """

    data: str
    part: str
    split: _Split
    seed: int
    ids: str
    n: int
    wrong: tuple[int, ...]
    accuracy: Quantity | None
    size: Quantity
    file: bytes | None
    missing: str = ""

    @classmethod
    def of(cls, found: Measured, *, seed: int) -> Self:
        """Remember a measured model.

        Args:
            found: The model and what was measured.
            seed: The seed it was measured with.

        Raises:
            DataError: If it was measured on generated inputs: those of another model are others.
        """
        predictions = found.predictions
        check_lasting(found.subject.data)
        wrong = predictions.ids[~predictions.correct] if predictions.is_labelled else []
        return cls(
            data=found.subject.data.hash,
            part=found.part,
            split=_split_of(found.subject.data),
            seed=seed,
            ids=_hash_of_ids(predictions.ids),
            n=len(predictions),
            wrong=tuple(sorted(map(int, wrong))),
            accuracy=predictions.accuracy() if predictions.is_labelled else None,
            size=Quantity.exact(len(found.file), "bytes"),
            file=found.file,
        )

    def check_samples(self, predictions: Predictions) -> None:
        """Refuse a model that was measured on other samples.

        Raises:
            DataError: If they are others.
        """
        if _hash_of_ids(predictions.ids) != self.ids:
            raise DataError(
                "The baseline was measured on other samples.",
                hint="Use the same data and part, or write the baseline again.",
            )

    def change(self, predictions: Predictions) -> Comparison:
        """Compare the accuracy of a later model with this one's, sample by sample.

        Raises:
            DataError: If it was measured on other samples.
        """
        self.check_samples(predictions)
        before = ~np.isin(predictions.ids, np.array(self.wrong, dtype=predictions.ids.dtype))
        return accuracy_change(before, predictions.correct, predictions.how)

    def save(self, path: Path) -> Path:
        """Write ``path`` and, beside it, the ONNX file under the same name.

        Args:
            path: A ``.json`` file.

        Raises:
            ConfigError: If it is named otherwise, or would replace what is no baseline.
            OSError: If it cannot be written.
        """
        check_place(path)
        onnx = None
        if self.file is not None:
            name = path.with_suffix(".onnx").name
            write_atomic(path.with_name(name), self.file)
            onnx = {"name": name, "hash": _hash_of_file(self.file)}
        content = {
            "schema": _SCHEMA,
            "data": self.data,
            "part": self.part,
            "split": self.split,
            "seed": self.seed,
            "ids": self.ids,
            "n": self.n,
            "wrong": list(self.wrong),
            "accuracy": self.accuracy.to_json() if self.accuracy else None,
            "file": self.size.to_json(),
            "onnx": onnx,
        }
        return write_atomic(path, (json.dumps(content) + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            ConfigError: If it is no baseline.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls._from_json(content, path.parent)
        except OSError as error:
            raise ConfigError(f"{path.name!r} cannot be read: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ConfigError(
                f"{path.name!r} is not a baseline of this version.",
                hint="Write one: python -m optim measure MODEL --data DATA --save-baseline FILE",
            ) from error

    @classmethod
    def _from_json(cls, content: Mapping[str, Any], folder: Path) -> Self:
        if content["schema"] != _SCHEMA or content["split"] not in get_args(_Split):
            raise ValueError("another schema")
        file, missing = _file_beside(folder, content["onnx"])
        return cls(
            data=str(content["data"]),
            part=str(content["part"]),
            split=content["split"],
            seed=int(content["seed"]),
            ids=str(content["ids"]),
            n=int(content["n"]),
            wrong=tuple(map(int, content["wrong"])),
            accuracy=Quantity.from_json(content["accuracy"]) if content["accuracy"] else None,
            size=Quantity.from_json(content["file"]),
            file=file,
            missing=missing,
        )


def check_place(path: Path) -> None:
    """Refuse to write a baseline over files that are none, such as a model of the same name.

    Args:
        path: Where the baseline shall be; its ONNX file goes beside it.

    Raises:
        ConfigError: If it is no ``.json`` file, or what lies there is no baseline with its file.
    """
    if path.suffix != ".json":
        raise ConfigError(f"A baseline is a .json file: got {path.name!r}.")
    hint = "Give the baseline another name, or take that file away."
    known, beside = None, path.with_suffix(".onnx")
    try:
        known = Baseline.load(path) if path.exists() else None
    except ConfigError as error:
        raise ConfigError(
            f"{path.name!r} is no baseline of this version and would be replaced.", hint=hint
        ) from error
    if beside.exists() and (known is None or known.file != beside.read_bytes()):
        raise ConfigError(
            f"{beside.name!r} does not belong to a baseline {path.name!r} and would be replaced.",
            hint=hint,
        )


def check_lasting(data: Dataset) -> None:
    """Refuse inputs that are made for each model: nothing can be compared on them later.

    Raises:
        DataError: If the data are such inputs.
    """
    if data.is_generated:
        raise DataError(
            "A baseline needs samples that stay the same, and generated inputs are made for each "
            "model.",
            hint="Name data, with or without labels: --data samples.npz.",
        )


def _file_beside(folder: Path, onnx: Mapping[str, str] | None) -> tuple[bytes | None, str]:
    """Return the baseline's ONNX file, or None and why it is not available."""
    if onnx is None:
        return None, "the baseline was written without its ONNX file"
    name = Path(onnx["name"]).name
    try:
        file = (folder / name).read_bytes()
    except OSError:
        return None, f"the baseline's ONNX file {name!r} is not beside it"
    if _hash_of_file(file) != onnx["hash"]:
        return None, f"{name!r} beside the baseline is not the file it was written with"
    return file, ""


def _split_of(data: Dataset) -> _Split:
    """Say where validation comes from: halves of test have one origin, carved parts have two.

    Data that brings its own validation part, or none, is the same with both policies.
    """
    return "test" if data.origin.get("validation") == data.origin.get("test") else "train"


def _hash_of_ids(ids: np.ndarray) -> str:
    return digest(np.sort(ids).tolist())


def _hash_of_file(file: bytes) -> str:
    return sha256(file).hexdigest()
