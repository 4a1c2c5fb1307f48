"""What somebody asks of a search for architectures, as plain data and checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from optim.data.generated import GENERATED
from optim.errors import ConfigError
from optim.hashing import digest
from optim.search.budget import checked_seconds
from optim.search.figures import FIGURES
from optim.search.goals import Goals, Limit
from optim.search.nas.families import SHARED, family_named
from optim.search.nas.proxies import PROXIES
from optim.search.plain import checked_fields
from optim.search.samplers import SAMPLERS
from optim.search.space import Scalar
from optim.search.target import HERE, device_named, memory_limits

__all__ = ["MEMORY_DEVICE", "METHODS", "PRECISIONS", "PREDICTOR", "Asked", "goals_of"]

METHODS: dict[str, str] = {"trainings": "One by one", "supernet": "A supernet first"}
"""How networks are compared: each is trained, or they share weights before the best are."""

PRECISIONS: dict[str, str] = {"int8": "8-bit integers", "float32": "32-bit floats"}
"""What a network computes with where it is deployed."""

PREDICTOR = "predictor"
"""The sampler that is none of Optuna's: :mod:`optim.search.nas.predicting`."""

MEMORY_DEVICE = "nrf52840"
"""Whose RAM and flash are meant where they are limited and no device is named: a Cortex-M4's. They
are decided by its kind of runtime; latency and energy are each device's own."""

_OF_DEVICE = ("latency", "ram", "flash", "energy")
_MEMORY = ("ram", "flash")
_NO_LIMIT = frozenset({"loss"})
"""There is no original that something could be lost against."""
_MOST_EPOCHS = 1000
_MOST_SEEDS = 10


@dataclass(frozen=True)
class Asked:
    """A search for architectures.

    Attributes:
        space: A family, see ``optim.search.nas.families.FAMILIES``.
        data: What is to be learned: classes.
        limits: ``{figure: most}``, in the figure's unit.
        seconds: The budget of wall-clock time.
        device: Of the catalogue; empty if no figure is of a device, :data:`MEMORY_DEVICE` if only
            memory is.
        precision: What networks are deployed with, a key of :data:`PRECISIONS`.
        epochs: Of a whole training; the shorter ones are thirds of it.
        method: How networks are compared, a key of :data:`METHODS`.
        sampler: What thinks of networks: :data:`PREDICTOR`, or a key of
            ``optim.search.samplers.SAMPLERS``.
        screen: A proxy that chooses the networks that are trained first; none if empty.
        weighs_training: Whether seconds of training are an objective as well.
        also: Fields that all families share and that are searched as well.
        only: ``{field: values}`` that narrow the space.
        seeds: Further initial weights that what is taken is trained from: its error has an interval
            over these trainings alone. 0 for none.
        study: Name of the study; made of what is asked for if empty.
        seed: Of initial weights, order of samples, and sampler.

    Raises:
        ConfigError: Naming what is wrong.
    """

    space: str
    data: str
    limits: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 300.0
    device: str = ""
    precision: str = "int8"
    epochs: int = 36
    method: str = "trainings"
    sampler: str = PREDICTOR
    screen: str = ""
    weighs_training: bool = False
    also: Collection[str] = ()
    only: Mapping[str, Sequence[Scalar]] = field(default_factory=dict)
    seeds: int = 0
    study: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "space", family_named(self.space))
        object.__setattr__(self, "limits", {k: _number(k, v) for k, v in self.limits.items()})
        checked_seconds(_number("seconds", self.seconds))
        if self.data.partition("?")[0] == GENERATED:
            raise ConfigError(
                "An architecture is searched for data that can be learned: got generated inputs.",
                hint="Name data with classes, such as digits.",
                field="data",
            )
        for figure, most in self.limits.items():
            Limit(figure, most)
            if figure in _NO_LIMIT:
                raise ConfigError(
                    f"{FIGURES[figure].title} needs an original, and there is none here.",
                    hint="Limit the error instead.",
                    field=figure,
                )
        limited = [figure for figure in self.limits if figure in _OF_DEVICE]
        if not self.device and limited and set(limited) <= set(_MEMORY):
            object.__setattr__(self, "device", MEMORY_DEVICE)
        if self.device == HERE:
            raise ConfigError(
                f"A search for architectures has no device {HERE!r}: what networks cost there is "
                "not told before they are trained.",
                hint="Name one of the catalogue; optim devices list shows them.",
                field="device",
            )
        if self.device:
            device_named(self.device)
        for name, options in (
            ("precision", PRECISIONS),
            ("method", METHODS),
            ("sampler", {PREDICTOR: None, **SAMPLERS}),
            ("screen", {"": None, **PROXIES}),
        ):
            if getattr(self, name) not in options:
                allowed = ", ".join(key for key in options if key)
                raise ConfigError(
                    f"{name} must be one of {allowed}: got {getattr(self, name)!r}.", field=name
                )
        if isinstance(self.epochs, bool) or not 1 <= self.epochs <= _MOST_EPOCHS:
            raise ConfigError(
                f"epochs must be from 1 to {_MOST_EPOCHS}: got {self.epochs!r}.", field="epochs"
            )
        if isinstance(self.seeds, bool) or not 0 <= self.seeds <= _MOST_SEEDS:
            raise ConfigError(
                f"seeds must be from 0 to {_MOST_SEEDS}: got {self.seeds!r}.", field="seeds"
            )
        if unknown := sorted(set(self.also) - SHARED):
            raise ConfigError(
                f"also must be of {', '.join(sorted(SHARED))}: got {unknown[0]!r}.", field="also"
            )
        if len(self.study) > 100:
            raise ConfigError("study must be a name of at most 100 characters.", field="study")

    @property
    def name(self) -> str:
        """Of its study."""
        return self.study or f"nas-{digest(self.to_json())[:12]}"

    def to_json(self) -> dict[str, Any]:
        """Return plain data that :meth:`from_json` reads back."""
        return {
            **vars(self),
            "limits": dict(self.limits),
            "also": sorted(self.also),
            "only": {name: list(values) for name, values in self.only.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read plain data, which may come from anybody.

        Raises:
            ConfigError: Naming what is wrong.
        """
        texts = ("space", "data", "device", "precision", "method", "sampler", "screen", "study")
        kinds = {
            **dict.fromkeys(texts, "a text"),
            **dict.fromkeys(("epochs", "seed", "seeds"), "a whole number"),
            "limits": "a mapping",
            "also": "a list",
            "weighs_training": "true or false",
        }
        what = "A search for architectures"
        fields = checked_fields(data, cls.__dataclass_fields__, kinds, what)
        for name in ("space", "data"):
            if name not in fields:
                raise ConfigError(f"{what} needs {name}.", field=name)
        return cls(**fields)


def goals_of(asked: Asked) -> Goals:
    """Return what is weighed and what must be kept.

    Bytes count always, and every limited figure; on a device latency, elsewhere MACs. On a
    microcontroller what it has of memory is a limit as well, where none is asked for.

    Raises:
        ConfigError: If a figure is limited that is that of a device, and none is named.
    """
    limits = tuple(Limit(figure, most) for figure, most in asked.limits.items())
    if asked.device:
        limits += memory_limits(asked.device, asked.limits)
    if not asked.device and (named := [x for x in asked.limits if x in _OF_DEVICE]):
        raise ConfigError(
            f"{FIGURES[named[0]].title} is that of a device, and none is named.",
            hint="Name one of the catalogue; optim devices list shows them.",
            field="device",
        )
    costs = ["bytes", "latency" if asked.device else "macs"]
    costs += [name for name in asked.limits if name not in ("error", "training", *costs)]
    if asked.weighs_training or "training" in asked.limits:
        costs.append("training")
    return Goals(("error", *costs), limits, "onnx", asked.device)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{name} must be a number: got {value!r}.", field=name)
    return float(value)
