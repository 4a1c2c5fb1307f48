"""What somebody asks of the Autopilot, as plain data and checked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from optim.errors import ConfigError
from optim.hashing import digest
from optim.quantity import Quantity
from optim.recipe import Recipe
from optim.search.autopilot.recipes import checked_only
from optim.search.budget import checked_seconds
from optim.search.figures import FIGURES
from optim.search.goals import BYTES_OF, Goals, Limit
from optim.search.plain import checked_fields
from optim.search.samplers import DEFAULT_SAMPLER, SAMPLERS
from optim.search.space import Scalar
from optim.search.target import HERE, device_named, memory_limits, title_of, told_of

__all__ = ["Asked", "checked_limit", "goals_of"]

Bound = float | str
"""A value in the figure's unit, or a share of what the original has: ``"10%"``."""
_DEVICE = ("latency", "ram", "flash", "energy")


@dataclass(frozen=True)
class Asked:
    """A search for recipes.

    Attributes:
        base: Names model, data, seed and split; no steps.
        limits: ``{figure: bound}``, see :data:`Bound`.
        seconds: The budget of wall-clock time.
        bytes_of: Whose bytes count, a key of ``optim.search.goals.BYTES_OF``.
        device: Of the catalogue, or ``"here"`` for the latency of this computer, measured; empty if
            no figure is of a device.
        sampler: A key of ``optim.search.samplers.SAMPLERS``.
        trains: Whether candidates may be trained.
        reuses: Whether what was trained before, by whomever, counts as well.
        study: Name of the study; made of what is asked for if empty.
        only: ``{dimension: values}`` that narrow the space.

    Raises:
        ConfigError: Naming what is wrong.
    """

    base: Recipe
    limits: Mapping[str, Bound] = field(default_factory=dict)
    seconds: float = 180.0
    bytes_of: str = "onnx"
    device: str = ""
    sampler: str = DEFAULT_SAMPLER
    trains: bool = True
    reuses: bool = True
    study: str = ""
    only: Mapping[str, Sequence[Scalar]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checked_seconds(self.seconds)
        for figure, bound in self.limits.items():
            checked_limit(figure, bound)
        if self.bytes_of not in BYTES_OF:
            raise ConfigError(
                f"bytes_of must be one of {', '.join(BYTES_OF)}: got {self.bytes_of!r}.",
                field="bytes_of",
            )
        for figure in (name for name in _DEVICE if name in self.limits):
            _check_device(self.device, figure)
        if self.device != HERE and self.device:
            device_named(self.device)
        checked_only(self.only)
        if self.sampler not in SAMPLERS:
            raise ConfigError(
                f"sampler must be one of {', '.join(SAMPLERS)}: got {self.sampler!r}.",
                field="sampler",
            )
        if not isinstance(self.study, str) or len(self.study) > 100:
            raise ConfigError(
                f"study must be a name of at most 100 characters: got {self.study!r}.",
                field="study",
            )

    @property
    def name(self) -> str:
        """Of its study."""
        return self.study or f"autopilot-{digest(self.to_json())[:12]}"

    def to_json(self) -> dict[str, Any]:
        """Return plain data that :meth:`from_json` reads back."""
        return {
            "recipe": replace(self.base, entries=()).to_json(),
            "limits": dict(self.limits),
            "seconds": self.seconds,
            "bytes_of": self.bytes_of,
            "device": self.device,
            "sampler": self.sampler,
            "trains": self.trains,
            "reuses": self.reuses,
            "study": self.study,
            "only": {name: list(values) for name, values in self.only.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read plain data, which may come from anybody.

        Raises:
            ConfigError: Naming what is wrong.
        """
        kinds = {
            **dict.fromkeys(("bytes_of", "device", "sampler", "study"), "a text"),
            **dict.fromkeys(("trains", "reuses"), "true or false"),
            "limits": "a mapping",
        }
        known = {"recipe", *(f for f in cls.__dataclass_fields__ if f != "base")}
        fields = checked_fields(data, known, kinds, "A search")
        recipe = fields.pop("recipe", None)
        if not isinstance(recipe, Mapping):
            raise ConfigError("A search needs a recipe that names model and data.", field="recipe")
        seconds = fields.get("seconds", cls.seconds)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise ConfigError(f"seconds must be a number: got {seconds!r}.", field="seconds")
        return cls(base=replace(Recipe.from_json(recipe), entries=()), **fields)


def checked_limit(figure: str, bound: Bound) -> Bound:
    """Return a bound that means something.

    Raises:
        ConfigError: If it does not.

    Example:
        >>> checked_limit("bytes", "10%")
        '10%'
    """
    share = _share(figure, bound)
    if share is None:
        Limit(figure, float(bound))
        return float(bound)
    if FIGURES.get(figure) is None or FIGURES[figure].unit == "points":
        raise ConfigError(
            f"{figure} has no share of the original's: got {bound!r}.",
            hint="Say it in percentage points.",
            field=figure,
        )
    return bound


def goals_of(
    asked: Asked,
    original: Mapping[str, Quantity],
    also: Callable[[], Collection[str]] = tuple,
) -> Goals:
    """Return the goals of a search, shares of the original's figures worked out.

    Args:
        asked: What is asked for.
        original: Figures of the original.
        also: Returns the figures that are known of what can be made of it; called only where one
            is limited that the original does not have.

    Raises:
        ConfigError: If a figure of the device is limited that is not known of such a model, or a
            share is asked of one that is not known of the original.
    """
    limits = []
    for figure, bound in asked.limits.items():
        if figure in _DEVICE and figure not in original and figure not in also():
            raise _not_known(figure, asked.device, "this model")
        share = _share(figure, bound)
        if share is None:
            limits.append(Limit(figure, float(bound)))
        elif figure in original:
            limits.append(Limit(figure, share * original[figure].value))
        else:
            raise ConfigError(
                f"{FIGURES[figure].title} of the original is not known, so there is no share of "
                "it.",
                hint=f"Give {figure} a value.",
                field=figure,
            )
    wanted = [limit.figure for limit in limits]
    costs = ["bytes", *(name for name in wanted if name not in ("loss", "bytes", "training"))]
    if asked.device and "latency" not in costs and "latency" in original:
        costs.append("latency")
    elif not asked.device and "macs" not in costs:
        costs.append("macs")
    if asked.device:
        unknown = {"flash", "ram"} - original.keys()
        limits += memory_limits(asked.device, {*wanted, *unknown})
    return Goals(("loss", *costs), tuple(limits), asked.bytes_of, asked.device)


def _check_device(device: str, figure: str) -> None:
    """Refuse a limit of a figure of a device that none is named for, or that it cannot tell.

    Raises:
        ConfigError: In both cases.
    """
    title = FIGURES[figure].title
    if not device:
        raise ConfigError(
            f"{title} is that of a device, and none is named.",
            hint="Name one of the catalogue, which optim devices list shows; or here, for the "
            "latency of this computer.",
            field="device",
        )
    if figure in told_of(device):
        return
    if device == HERE:
        raise ConfigError(
            f"{title} of this computer is not measured; latency is.",
            hint="Name a device of the catalogue.",
            field=figure,
        )
    raise _not_known(figure, device, "a network")


def _not_known(figure: str, device: str, what: str) -> ConfigError:
    return ConfigError(
        f"{FIGURES[figure].title} of {what} on {title_of(device)} is not known.",
        hint="Limit another figure, or choose another device.",
        field=figure,
    )


def _share(figure: str, bound: Bound) -> float | None:
    """Return the share that a text like ``"10%"`` means; None for a plain number.

    Raises:
        ConfigError: If it is neither.
    """
    if isinstance(bound, int | float) and not isinstance(bound, bool):
        return None
    text = str(bound).strip()
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not text.endswith("%") or not 0 < share <= 10:
        raise ConfigError(
            f"The limit of {figure} must be a number, or a share of the original's such as 10%: "
            f"got {bound!r}.",
            field=figure,
        )
    return share
