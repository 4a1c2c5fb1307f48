"""Fields that are at once sliders, validation, YAML, search space, help and reference page.

A technique, a method, an architecture and a generated data set are all a :class:`Config`: a frozen
pydantic model whose fields are annotated with one of five kinds. The annotation is the only place
where a legal range is written; the page, the command line, the search space and the reference page
all read it through :func:`controls`.

===============  =====================================================================
:class:`Range`   a number between two ends, with a step: a slider
:class:`Choice`  one of a few values: a segmented control, or a slider where they are ordered
:class:`Method`  one member of a family, with fields of its own: a select box
:class:`PerLayer`  values that replace the common one for named layers: an editable table
:class:`Models`  one or several trained models, by name: a list to choose from
===============  =====================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from optim.errors import ConfigError

__all__ = [
    "Choice",
    "Config",
    "Control",
    "Kind",
    "Method",
    "MethodConfig",
    "Models",
    "PerLayer",
    "Range",
    "controls",
]

Scalar = bool | int | float | str


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What every field kind says about itself.

    Attributes:
        label: Name on the page, in the field's terms.
        help: One or two sentences: what it does, which way is which.
        unit: Unit behind the number, or empty.
        when: Conditions ``{other field: allowed values}`` under which the field has an effect; the
            page hides it otherwise.
        expert: Whether the field is shown only after asking for more.
    """

    label: str
    help: str
    unit: str = ""
    when: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    expert: bool = False


@dataclass(frozen=True, kw_only=True)
class Range(Kind):
    """A number from ``low`` to ``high``.

    Attributes:
        low: Smallest legal value.
        high: Largest legal value.
        step: Distance between two stops of the slider. Values between stops are legal.
        scale: ``"percent"`` shows 0.3 as 30 %; ``"log"`` spaces the stops by factors of two,
            ``"decades"`` has the stops 1, 2 and 5 of every power of ten.
    """

    low: float
    high: float
    step: float
    scale: Literal["linear", "percent", "log", "decades"] = "linear"

    def stops(self) -> list[float]:
        """Return the slider's stops, ends included."""
        if self.scale == "log":
            count = round(math.log2(self.high / self.low))
            return [self.low * 2**i for i in range(count + 1)]
        if self.scale == "decades":
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
            return [stop for stop in found if self.low <= stop <= self.high]
        count = round((self.high - self.low) / self.step)
        places = max(0, -math.floor(math.log10(self.step)) + 2)
        return [round(self.low + i * self.step, places) for i in range(count + 1)]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def check(value: float) -> float:
            if math.isnan(value):
                raise ValueError(f"must be a number from {self.low:g} to {self.high:g}: got nan.")
            if not self.low <= value <= self.high:
                nearest = min(max(value, self.low), self.high)
                raise ValueError(
                    f"must be between {self.low:g} and {self.high:g}: got {value:g}. "
                    f"The nearest allowed value is {nearest:g}."
                )
            return value

        return core_schema.no_info_after_validator_function(check, handler(source))


@dataclass(frozen=True, kw_only=True)
class Choice(Kind):
    """One of a few values.

    Attributes:
        options: ``{value: label}`` in the order shown. The field's type repeats the values.
        ordered: Whether the values lie on a line, so that a slider is the right control.
    """

    options: Mapping[Scalar, str]
    ordered: bool = False

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        # True equals 1 and 8.0 equals 8; a list equals nothing and cannot be hashed.
        legal = [(type(option), option) for option in self.options]

        def check(value: Any) -> Any:
            if (type(value), value) in legal:
                return value
            allowed = ", ".join(str(option) for option in self.options)
            raise ValueError(f"must be one of {allowed}: got {value!r}.")

        return core_schema.no_info_before_validator_function(check, core_schema.any_schema())


@dataclass(frozen=True, kw_only=True)
class Method(Kind):
    """One member of a family of methods, each a :class:`MethodConfig` with fields of its own.

    In YAML a method is its name (``magnitude``) or, with fields, ``{taylor: {samples: 256}}``.

    Attributes:
        family: ``{name: class}`` in the order shown.
    """

    family: Mapping[str, type[MethodConfig]]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def parse(value: Any) -> MethodConfig:
            if isinstance(value, MethodConfig) and type(value) in self.family.values():
                return value
            name, fields = _name_and_fields(value)
            if name not in self.family:
                allowed = ", ".join(self.family)
                raise ValueError(f"must be one of {allowed}: got {name!r}.")
            return self.family[name](**fields)

        names = {cls: name for name, cls in self.family.items()}

        def write(value: MethodConfig) -> Any:
            fields = value.changed()
            name = names[type(value)]
            return {name: fields} if fields else name

        return core_schema.no_info_before_validator_function(
            parse,
            core_schema.any_schema(),
            serialization=core_schema.plain_serializer_function_ser_schema(write),
        )

    def name_of(self, method: MethodConfig) -> str:
        """Return the name under which ``method``'s class stands in the family."""
        return next(name for name, cls in self.family.items() if cls is type(method))


@dataclass(frozen=True, kw_only=True)
class PerLayer(Kind):
    """Values for named layers that replace the common value of another field.

    Attributes:
        overrides: Name of the field it replaces; its kind says what is legal.
        skip: Value that means "leave this layer alone", offered besides the legal ones.
        alone: ``{other field: value}`` under which nothing but the named layers changes.
        tried: Values worth trying on a single layer, mildest first, to see what it can spare;
            empty where single layers cannot be looked at.
        between: Whether a value between two of those changes a layer by what lies between.
    """

    overrides: str
    skip: Scalar | None = None
    alone: Mapping[str, Scalar] = field(default_factory=dict)
    tried: tuple[Scalar, ...] = ()
    between: bool = True

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        # The model that holds the field checks the values: only it knows the overridden field.
        return handler(source)


@dataclass(frozen=True, kw_only=True)
class Models(Kind):
    """Names of one or several trained models; ``original`` is the recipe's own before any step.

    In YAML a single one is its name, several are a list. Whether a model of a name is there is
    known only on the machine where the recipe is used.

    Attributes:
        most: How many may be named.
    """

    most: int = 8

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def parse(value: Any) -> tuple[str, ...]:
            names = (value,) if isinstance(value, str) else value
            if not isinstance(names, list | tuple) or not 0 < len(names) <= self.most:
                raise ValueError(f"must name 1 to {self.most} models: got {value!r}.")
            for name in names:
                if not isinstance(name, str) or not _is_name(name):
                    raise ValueError(f"must be names of trained models: got {name!r}.")
            if len(set(names)) < len(names):
                raise ValueError(f"must name each model once: got {', '.join(names)}.")
            return tuple(names)

        def write(value: tuple[str, ...]) -> Any:
            return value[0] if len(value) == 1 else list(value)

        return core_schema.no_info_before_validator_function(
            parse,
            core_schema.any_schema(),
            serialization=core_schema.plain_serializer_function_ser_schema(write),
        )


def _is_name(name: str) -> bool:
    plain = name.translate(str.maketrans("", "", "-_."))
    return plain.isascii() and plain.isalnum() and len(name) <= 80


class Config(BaseModel):
    """Base of everything that is configured by annotated fields.

    Instances are frozen, compare by value, refuse unknown fields, and raise
    :class:`~optim.errors.ConfigError` with the field's path when a value is illegal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise _as_config_error(type(self), error) from error

    def model_post_init(self, context: Any, /) -> None:
        """Check per-layer overrides against the field they replace."""
        for name, kind in _kinds(type(self)).items():
            if isinstance(kind, PerLayer):
                self._check_overrides(name, kind)

    def changed(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults, as plain data."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def replace(self, **fields: Any) -> Self:
        """Return a copy with ``fields`` changed, validated."""
        return type(self)(**{**self.model_dump(), **fields})

    def _check_overrides(self, name: str, kind: PerLayer) -> None:
        overrides = getattr(self, name)
        if not overrides:
            return
        data = {key: value for key, value in self.model_dump().items() if key != name}
        for layer, value in overrides.items():
            if value == kind.skip:
                continue
            try:
                type(self)(**{**data, kind.overrides: value})
            except ConfigError as error:
                raise ConfigError(f"{layer}: {error.message}", field=f"{name}.{layer}") from error


class MethodConfig(Config):
    """Base of the members of a :class:`Method` family."""

    title: ClassVar[str]
    paper: ClassVar[str] = ""


@dataclass(frozen=True)
class Control:
    """One field of a :class:`Config` as a page, a command line or a search space sees it.

    Attributes:
        name: Field name.
        kind: Its annotation.
        default: Default value as plain data.
    """

    name: str
    kind: Kind
    default: Any

    def to_json(self) -> dict[str, Any]:
        """Return what a browser needs to draw the control."""
        kind = self.kind
        data: dict[str, Any] = {
            "name": self.name,
            "label": kind.label,
            "help": kind.help,
            "unit": kind.unit,
            "expert": kind.expert,
            "when": {key: list(values) for key, values in kind.when.items()},
            "default": self.default,
        }
        if isinstance(kind, Range):
            return {**data, "kind": "range", "stops": kind.stops(), "scale": kind.scale}
        if isinstance(kind, Choice):
            options = [{"value": value, "label": text} for value, text in kind.options.items()]
            return {**data, "kind": "choice", "options": options, "ordered": kind.ordered}
        if isinstance(kind, Method):
            family = {
                name: {"title": cls.title, "fields": [c.to_json() for c in controls(cls)]}
                for name, cls in kind.family.items()
            }
            return {**data, "kind": "method", "family": family}
        if isinstance(kind, Models):
            return {**data, "kind": "models", "most": kind.most}
        assert isinstance(kind, PerLayer)
        return {**data, "kind": "per_layer", "overrides": kind.overrides, "skip": kind.skip}


def controls(config: type[Config]) -> list[Control]:
    """Return the controls of a configuration class in the order its fields are written."""
    plain = config.model_construct()
    defaults = plain.model_dump(mode="json", warnings=False)
    return [Control(name, kind, defaults.get(name)) for name, kind in _kinds(config).items()]


def _kinds(config: type[BaseModel]) -> dict[str, Kind]:
    found: dict[str, Kind] = {}
    for name, info in config.model_fields.items():
        kinds = [item for item in info.metadata if isinstance(item, Kind)]
        if len(kinds) != 1:
            raise TypeError(f"{config.__name__}.{name} needs exactly one field kind, has {kinds}")
        found[name] = kinds[0]
    return found


def _name_and_fields(value: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(value, str):
        return value, {}
    if isinstance(value, Mapping) and len(value) == 1:
        name, fields = next(iter(value.items()))
        return str(name), dict(fields or {})
    raise ValueError(f"must be a name or {{name: fields}}: got {value!r}.")


def _as_config_error(cls: type[BaseModel], error: ValidationError) -> ConfigError:
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    inner = first.get("ctx", {}).get("error")
    if isinstance(inner, ConfigError):
        inner_path = f"{path}.{inner.field}".strip(".")
        return ConfigError(inner.message, hint=inner.hint, field=inner_path)
    if first["type"] == "extra_forbidden":
        allowed = ", ".join(cls.model_fields) or "none"
        return ConfigError(
            f"{cls.__name__} has no field {path!r}.", hint=f"Its fields are: {allowed}.", field=path
        )
    text = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error" and text.startswith("must "):
        return ConfigError(f"{path} {text}", field=path)
    if first["type"] == "value_error":
        return ConfigError(text, field=path)
    return ConfigError(f"{path}: {text}: got {path}={first['input']!r}.", field=path)
