"""A recipe: which model, which data, which seed, which steps. Everything a result depends on.

The page edits a Recipe and nothing else; undo, presets, links, runs and the command line all work
on Recipe values. It is written as YAML or JSON, or packed into a link::

    version: 2
    model: clutter-resnet8
    data: cluttered-digits
    seed: 0
    steps:
      - prune_channels: {pruning_ratio: 0.3, importance: magnitude}
      - reestimate_batchnorm: {}
      - quantize: {weight_bits: 8, activation_bits: 8}
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, get_args

import yaml

from optim.data.generated import GENERATED
from optim.data.splits import SplitPolicy
from optim.errors import ConfigError
from optim.hashing import digest
from optim.models.cards import model_cards
from optim.order import advice, check_order, in_order
from optim.step import Step
from optim.techniques import TECHNIQUES, name_of

__all__ = ["VERSION", "Entry", "Recipe", "free_name"]

VERSION = 2
_MAX_LINK_BYTES = 65_536
_MAX_CHARACTERS = 65_536
_MAX_DEPTH = 12
_MAX_STEPS = 40


@dataclass(frozen=True)
class Entry:
    """One step of a recipe.

    Attributes:
        id: Unique in the recipe; seeds the step's randomness.
        step: What is done.
        enabled: Whether it is done.
    """

    id: str
    step: Step
    enabled: bool = True

    @property
    def name(self) -> str:
        """Name of the technique."""
        return name_of(self.step)

    @property
    def is_active(self) -> bool:
        """Whether the step is on and changes anything."""
        return self.enabled and not self.step.is_neutral

    def to_json(self) -> dict[str, Any]:
        """Return the shortest form that :meth:`Recipe.from_json` reads back."""
        data: dict[str, Any] = {self.name: self.step.changed()}
        if self.id != self.name:
            data["id"] = self.id
        if not self.enabled:
            data["enabled"] = False
        return data


@dataclass(frozen=True)
class Recipe:
    """Model, data, seed and steps.

    Attributes:
        model: A registered model, ``architecture:weights-file``, or a file.
        data: A registered data set, a zip or a folder; without any, inputs are made for the model.
        seed: Decides splits, calibration samples and every step's randomness.
        split: Where validation samples come from, see ``optim.data.splits``.
        entries: The steps in order.

    Raises:
        ConfigError: If ids repeat or the steps cannot follow each other in this order.
    """

    model: str
    data: str = GENERATED
    entries: tuple[Entry, ...] = ()
    seed: int = 0
    split: SplitPolicy = "auto"

    def __post_init__(self) -> None:
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**31:
            raise ConfigError(
                f"seed must be a whole number from 0 to 2147483647: got {self.seed!r}.",
                field="seed",
            )
        if self.split not in get_args(SplitPolicy):
            raise ConfigError(
                f"split must be one of {', '.join(get_args(SplitPolicy))}: got {self.split!r}.",
                field="split",
            )
        ids = [entry.id for entry in self.entries]
        if len(set(ids)) < len(ids):
            raise ConfigError(f"Every step needs an id of its own: got {', '.join(ids)}.")
        check_order(self.entries)

    # --- editing: every method returns another recipe ---------------------------------------

    def entry(self, entry_id: str) -> Entry:
        """Return the entry with an id."""
        for entry in self.entries:
            if entry.id == entry_id:
                return entry
        ids = ", ".join(e.id for e in self.entries) or "none"
        raise ConfigError(f"The recipe has no step {entry_id!r}; it has {ids}.")

    def with_fields(self, entry_id: str, **fields: Any) -> Self:
        """Return a recipe in which fields of one step have other values."""
        entry = self.entry(entry_id)
        try:
            step = entry.step.replace(**fields)
        except ConfigError as error:
            raise ConfigError(
                error.message, hint=error.hint, field=f"{entry_id}.{error.field}"
            ) from error
        return self._with(replace(entry, step=step))

    def with_enabled(self, entry_id: str, enabled: bool) -> Self:
        """Return a recipe in which one step is switched on or off."""
        return self._with(replace(self.entry(entry_id), enabled=enabled))

    def with_step(self, step: Step, position: int | None = None, *, reorder: bool = False) -> Self:
        """Return a recipe with one more step, by default at the end.

        Args:
            step: What is done.
            position: Where.
            reorder: Whether steps that cannot follow each other are put in order.
        """
        name = name_of(step)
        taken = {entry.id for entry in self.entries}
        entries = list(self.entries)
        entries.insert(
            len(entries) if position is None else position, Entry(free_name(name, taken), step)
        )
        return replace(self, entries=in_order(entries) if reorder else tuple(entries))

    def without(self, entry_id: str) -> Self:
        """Return a recipe without one step."""
        gone = self.entry(entry_id)
        return replace(self, entries=tuple(e for e in self.entries if e is not gone))

    def moved(self, entry_id: str, position: int) -> Self:
        """Return a recipe in which one step stands at another position."""
        entry = self.entry(entry_id)
        others = [e for e in self.entries if e is not entry]
        others.insert(position, entry)
        return replace(self, entries=tuple(others))

    def in_order(self) -> Self:
        """Return a recipe in which no step undoes the work of one before it; see optim.order."""
        return replace(self, entries=in_order(self.entries))

    @property
    def advice(self) -> dict[str, str]:
        """``{entry id: why the step is better placed later}``."""
        return advice(self.entries)

    def _with(self, entry: Entry) -> Self:
        entries = tuple(entry if e.id == entry.id else e for e in self.entries)
        return replace(self, entries=entries)

    @property
    def active(self) -> tuple[Entry, ...]:
        """The steps that are on and change anything, in order."""
        return tuple(entry for entry in self.entries if entry.is_active)

    # --- identity ---------------------------------------------------------------------------

    @property
    def hash(self) -> str:
        """Identity of the recipe as written."""
        return digest(self.to_json())

    def chain(self, model_hash: str, data_hash: str, sample_limit: int | None = None) -> list[str]:
        """Return the identity of the model before the first and after every active step.

        Args:
            model_hash: Content hash of the recipe's model.
            data_hash: Content hash of its data, splits included.
            sample_limit: See :class:`~optim.step.Context`; a draft has another identity. Steps
                up to the last one that trains are never drafts.

        Returns:
            ``len(self.active) + 1`` hashes; changing the last step changes only the last one.
        """
        keys = [model_hash]
        for entry, limit in zip(self.active, self.limits(sample_limit), strict=True):
            uses: tuple[Any, ...] = (data_hash, limit) if entry.step.looks_at_data else ()
            step = {entry.name: entry.step.identity}
            if entry.step.models:
                uses = (*uses, [_model_hash(name) for name in entry.step.models])
            keys.append(digest(keys[-1], entry.id, step, self.seed, uses))
        return keys

    def limits(self, sample_limit: int | None) -> list[int | None]:
        """Return on how many samples each active step calibrates when a draft is made.

        What a training step starts from is never a draft: its result was trained, or will be,
        from the real thing.
        """
        trains = [i for i, entry in enumerate(self.active) if entry.step.cost == "training"]
        first = max(trains, default=-1) + 1
        return [
            sample_limit
            if i >= first and entry.step.cost == "calibrated" and entry.step.looks_at_data
            else None
            for i, entry in enumerate(self.active)
        ]

    # --- written forms ----------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return plain data; fields at their defaults are left out."""
        data: dict[str, Any] = {"version": VERSION, "model": self.model, "data": self.data}
        if self.split != "auto":
            data["split"] = self.split
        return {**data, "seed": self.seed, "steps": [entry.to_json() for entry in self.entries]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, reorder: bool = False) -> Self:
        """Read plain data.

        Args:
            data: What :meth:`to_json` writes.
            reorder: Whether steps that cannot follow each other are put in order.

        Raises:
            ConfigError: Naming the first thing that is wrong.
        """
        if not isinstance(data, Mapping):
            raise ConfigError(f"A recipe is a mapping: got {type(data).__name__}.")
        _check_plain(data, _MAX_DEPTH)
        data = _migrated(data)
        known = {"version", "model", "data", "seed", "split", "steps"}
        if unknown := sorted(set(map(str, data)) - known):
            raise ConfigError(
                f"A recipe has no field {unknown[0]!r}.",
                hint=f"Its fields are: {', '.join(sorted(known))}.",
                field=unknown[0],
            )
        data = {"data": GENERATED, **data}
        for name in ("model", "data"):
            if not isinstance(data.get(name), str) or not data[name]:
                raise ConfigError(f"{name} must be a name: got {data.get(name)!r}.", field=name)
        entries = _entries(data.get("steps") or [])
        return cls(
            model=data["model"],
            data=data["data"],
            entries=in_order(entries) if reorder else entries,
            seed=data.get("seed", 0),
            split=data.get("split", "auto"),
        )

    def to_yaml(self) -> str:
        """Return the recipe as YAML, one step a line."""
        data = self.to_json()
        steps = data.pop("steps")
        # YAML takes some characters that cannot be seen for the end of a line.
        is_plain = f"{self.model}{self.data}".isprintable()
        head = yaml.safe_dump(data, sort_keys=False, allow_unicode=is_plain)
        if not steps:
            return f"{head}steps: []\n"
        lines = [
            yaml.safe_dump(s, default_flow_style=None, sort_keys=False, width=1000) for s in steps
        ]
        indented = ["  - " + line.rstrip().replace("\n", "\n    ") for line in lines]
        return f"{head}steps:\n" + "\n".join(indented) + "\n"

    @classmethod
    def from_yaml(cls, text: str, *, reorder: bool = False) -> Self:
        """Read YAML or JSON text; it may come from anybody. See :meth:`from_json`.

        Raises:
            ConfigError: If it is no YAML, too long, or no legal recipe.
        """
        if len(text) > _MAX_CHARACTERS:
            raise ConfigError(
                f"A recipe has at most {_MAX_CHARACTERS:,} characters: got {len(text):,}."
            )
        try:
            data = yaml.load(text, _Loader)
        except (yaml.YAMLError, AttributeError, LookupError, TypeError, ValueError) as error:
            # Dates and numbers that are none end in whatever Python says of them.
            raise ConfigError(f"The recipe is not valid YAML: {error}.") from error
        except RecursionError as error:
            raise ConfigError("The recipe is not valid: it is nested too deeply.") from error
        return cls.from_json(data, reorder=reorder)

    @classmethod
    def load(cls, path: str | Path, *, reorder: bool = False) -> Self:
        """Read a recipe file. See :meth:`from_json`.

        Raises:
            ConfigError: If it cannot be read, or is no legal recipe.
        """
        path = Path(path)
        try:
            return cls.from_yaml(path.read_text(encoding="utf-8"), reorder=reorder)
        except OSError as error:
            raise ConfigError(
                f"The recipe {path.name!r} cannot be read: {error.strerror}."
            ) from error
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"The recipe {path.name!r} cannot be read: it is not UTF-8."
            ) from error

    def to_link(self) -> str:
        """Return the recipe as text that fits into a URL."""
        text = json.dumps(self.to_json(), separators=(",", ":"))
        return base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode().rstrip("=")

    @classmethod
    def from_link(cls, text: str) -> Self:
        """Read what :meth:`to_link` wrote; the text may come from anybody.

        Raises:
            ConfigError: If it is damaged, too large, or says something illegal.
        """
        try:
            packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            unpacker = zlib.decompressobj()
            plain = unpacker.decompress(packed, _MAX_LINK_BYTES)
            if unpacker.unconsumed_tail:
                raise ConfigError("The recipe in this link is too large.")
            return cls.from_json(json.loads(plain))
        except (binascii.Error, zlib.error, ValueError, RecursionError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(
                "The link holds no recipe this program can read.",
                hint="Copy it again, whole; or start from a preset.",
            ) from error


class _Loader(yaml.SafeLoader):
    """Refuses aliases: forty lines of them stand for more than any memory holds."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "a recipe has no aliases", mark)
        return super().compose_node(parent, index)


def _check_plain(value: Any, depth: int) -> None:
    """Refuse what no field means and no message could show."""
    if depth == 0:
        raise ConfigError("The recipe is not valid: it is nested too deeply.")
    if isinstance(value, int) and abs(value) >= 2**64:
        raise ConfigError("The recipe holds a whole number of more than 64 bits.")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _check_plain(key, depth - 1)
            _check_plain(inner, depth - 1)
    elif isinstance(value, list | tuple | set):
        for inner in value:
            _check_plain(inner, depth - 1)


def _migrated(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a recipe of any known version as today's would be written.

    Raises:
        ConfigError: If the version is not known.
    """
    version = data.get("version")
    if isinstance(version, bool) or version not in (*_MIGRATIONS, VERSION):
        raise ConfigError(
            f"version must be {VERSION}, or {min(_MIGRATIONS)} for an older recipe: got "
            f"{version!r}.",
            hint="A recipe of a later version needs a later program.",
            field="version",
        )
    while version != VERSION:
        data, version = _MIGRATIONS[version](data), version + 1
    return data


def _with_any_width(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write down what version 1 left unsaid: channels were rounded only where it was asked for."""

    def written(item: Any) -> Any:
        if item == _PRUNE:
            return {_PRUNE: {"round_to": 1}}
        if not isinstance(item, Mapping) or _PRUNE not in item:
            return item
        fields = item[_PRUNE] or {}
        return {**item, _PRUNE: {"round_to": 1, **fields}} if isinstance(fields, Mapping) else item

    steps = data.get("steps")
    if not isinstance(steps, list | tuple):
        return data
    return {**data, "steps": [written(step) for step in steps]}


_PRUNE = "prune_channels"
_MIGRATIONS = {1: _with_any_width}


def _model_hash(name: str) -> str:
    card = model_cards().get(name)
    return card.hash if card else ""


def free_name(name: str, taken: Collection[str]) -> str:
    """Return a name that is not taken: itself, else with the first free number behind it.

    Example:
        >>> free_name("quantize", ["quantize", "quantize-2"])
        'quantize-3'
    """
    numbered = (name if n == 1 else f"{name}-{n}" for n in range(1, len(taken) + 2))
    return next(found for found in numbered if found not in taken)


def _entries(steps: Sequence[Any]) -> tuple[Entry, ...]:
    if not isinstance(steps, list | tuple) or len(steps) > _MAX_STEPS:
        raise ConfigError(f"steps must be a list of at most {_MAX_STEPS} steps.", field="steps")
    entries: list[Entry] = []
    for position, item in enumerate(steps, start=1):
        entries.append(_entry(item, position, {entry.id for entry in entries}))
    return tuple(entries)


def _entry(item: Any, position: int, taken: set[str]) -> Entry:
    where = f"steps.{position}"
    if isinstance(item, str):
        item = {item: {}}
    if not isinstance(item, Mapping):
        raise ConfigError(
            f"Step {position} must be {{technique: fields}}: got {item!r}.", field=where
        )
    names = [str(key) for key in item if key not in ("id", "enabled")]
    if len(names) != 1 or names[0] not in TECHNIQUES:
        raise ConfigError(
            f"Step {position} must name one technique: got {', '.join(names) or 'none'}.",
            hint=f"Techniques are: {', '.join(TECHNIQUES)}.",
            field=where,
        )
    name = names[0]
    fields = item[name] or {}
    if not isinstance(fields, Mapping):
        raise ConfigError(f"The fields of {name} must be a mapping: got {fields!r}.", field=where)
    entry_id, enabled = item.get("id", free_name(name, taken)), item.get("enabled", True)
    if not isinstance(entry_id, str) or not 0 < len(entry_id) <= 60:
        raise ConfigError(f"id must be a short text: got {entry_id!r}.", field=where)
    if not isinstance(enabled, bool):
        raise ConfigError(f"enabled must be true or false: got {enabled!r}.", field=where)
    try:
        step = TECHNIQUES[name](**{str(key): value for key, value in fields.items()})
    except ConfigError as error:
        raise ConfigError(
            f"{name}: {error.message}", hint=error.hint, field=f"{entry_id}.{error.field}"
        ) from error
    return Entry(entry_id, step, enabled)
