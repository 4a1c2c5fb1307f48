"""What is known about a device: peak rates, bandwidth, memories, power, and what its runtimes use.

Devices are data: a YAML file maps names to entries, those that ship lie in ``catalogue``. Every
figure of an entry has a source; what is not known is left out and never guessed::

    nucleo-l4r5zi:
      title: NUCLEO-L4R5ZI (Cortex-M4, 120 MHz)
      device_class: mcu
      chip: STM32L4R5ZI
      ram_bytes: 655360
      flash_bytes: 2097152
      runtimes:
        - {name: TensorFlow Lite Micro, precisions: [fp32, int8]}
      sources:
        STM32L4R5 datasheet: [ram_bytes, flash_bytes]
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from optim.errors import ConfigError, first_line

__all__ = [
    "DEVICE_CLASSES",
    "DeviceClass",
    "DeviceProfile",
    "Precision",
    "Runtime",
    "catalogue",
    "device",
    "load_profiles",
    "read_profiles",
]

Precision = Literal["fp32", "fp16", "bf16", "fp8", "int8", "w4"]
"""How numbers are computed; ``w4`` are weights of 4 bits that are widened before they are used."""

DeviceClass = Literal[
    "cloud_gpu",
    "desktop_gpu",
    "laptop_gpu",
    "phone_gpu",
    "sbc_gpu",
    "auto_gpu",
    "iot_gpu",
    "tpu",
    "server_cpu",
    "desktop_cpu",
    "laptop_cpu",
    "phone_cpu",
    "sbc",
    "auto_cpu",
    "iot_cpu",
    "laptop_npu",
    "phone_npu",
    "sbc_npu",
    "auto_npu",
    "iot_npu",
    "edge_tpu",
    "fpga",
    "mcu",
    "mcu_accel",
    "mcu_fpga_softcore",
]

DEVICE_CLASSES: Mapping[str, str] = MappingProxyType(
    {
        "cloud_gpu": "GPU in a data centre",
        "desktop_gpu": "GPU of a desktop",
        "laptop_gpu": "GPU of a laptop",
        "phone_gpu": "GPU of a phone",
        "sbc_gpu": "GPU of a single-board computer",
        "auto_gpu": "GPU of a car",
        "iot_gpu": "GPU of an embedded computer",
        "tpu": "TPU",
        "server_cpu": "CPU of a server",
        "desktop_cpu": "CPU of a desktop",
        "laptop_cpu": "CPU of a laptop",
        "phone_cpu": "CPU of a phone",
        "sbc": "Single-board computer",
        "auto_cpu": "CPU of a car",
        "iot_cpu": "CPU of an embedded computer",
        "laptop_npu": "NPU of a laptop",
        "phone_npu": "NPU of a phone",
        "sbc_npu": "NPU of a single-board computer",
        "auto_npu": "NPU of a car",
        "iot_npu": "NPU of an embedded computer",
        "edge_tpu": "Edge TPU",
        "fpga": "FPGA",
        "mcu": "Microcontroller",
        "mcu_accel": "Microcontroller with accelerator",
        "mcu_fpga_softcore": "Soft core on an FPGA",
    }
)
"""Every class of devices and how it is called."""

_MAX_CHARACTERS = 262_144
_MAX_DEVICES = 200
_MAX_DEPTH = 8
_FOLDER = Path(__file__).resolve().parent / "catalogue"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")

_Text = Annotated[str, Field(min_length=1, max_length=300)]
_Positive = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False, strict=False)]
_Bytes = Annotated[int, Field(gt=0, le=2**50)]


class Runtime(BaseModel):
    """What one runtime really uses of a device.

    Attributes:
        name: As its makers call it.
        precisions: Those it has kernels for, on this device.
        sparsity: ``"2:4"`` if two zeros of four weights make it faster; zeros elsewhere do not.
        channel_multiple: Channels are padded to a multiple of this; 1 if they are not.
        arbitrary_bits: Whether it computes any bit-width as it is, where the device can.
        measured_as: Name in the published measurements, if there are any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _Text
    precisions: tuple[Precision, ...] = Field(min_length=1)
    sparsity: Literal["none", "2:4"] = "none"
    channel_multiple: int = Field(1, ge=1, le=1024)
    arbitrary_bits: bool = False
    measured_as: str | None = Field(None, max_length=120)


class DeviceProfile(BaseModel):
    """A device; figures that are not known are ``None``.

    Attributes:
        name: How it is asked for: small letters, digits, ``.``, ``_`` and ``-``.
        title: How it is shown.
        device_class: A key of ``DEVICE_CLASSES``.
        chip: What computes.
        cores: How many of them.
        clock_mhz: Their clock.
        peak_tops: Tera-operations per second by precision, dense, as data sheets state them; a
            MAC is two operations.
        bandwidth_gb_s: Of the memory that holds weights, in 1e9 bytes per second.
        ram_bytes: Memory for activations, and for weights where there is no flash.
        flash_bytes: Memory for weights and code, of microcontrollers.
        overhead_us: Time to start one operator.
        power_w: While it computes; the rated power where nothing better is known.
        process_nm: Node of the process it is made in.
        has_vnni: Of x86 processors, whether products of bytes are added in 32 bits (VNNI, AMX);
            sums of 16 bits saturate. ``None`` for all others, where they never do.
        arbitrary_bits: Whether any bit-width can be computed as it is, as on an FPGA.
        dsp_slices: Multipliers of programmable logic.
        luts: Lookup tables of six inputs of programmable logic.
        runtimes: What runs models on it.
        measured_as: Name in the published measurements; ``None`` where there are none of it.
        notes: What a reader must know.
        sources: ``{source: names of the figures it gives}``.

    Raises:
        ValidationError: If a value is illegal, or a figure has no source.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _Text
    title: _Text
    device_class: DeviceClass
    chip: _Text
    cores: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    clock_mhz: _Positive | None = None
    peak_tops: Mapping[Precision, _Positive] = Field(default_factory=dict)
    bandwidth_gb_s: _Positive | None = None
    ram_bytes: _Bytes | None = None
    flash_bytes: _Bytes | None = None
    overhead_us: _Positive | None = None
    power_w: _Positive | None = None
    process_nm: _Positive | None = None
    has_vnni: bool | None = None
    arbitrary_bits: bool = False
    dsp_slices: Annotated[int, Field(ge=1, le=10**9)] | None = None
    luts: Annotated[int, Field(ge=1, le=10**9)] | None = None
    runtimes: tuple[Runtime, ...] = Field(min_length=1, max_length=20)
    measured_as: str | None = Field(None, max_length=200)
    notes: str = Field("", max_length=600)
    sources: Mapping[_Text, tuple[str, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _every_figure_has_a_source(self) -> Self:
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"name must consist of small letters, digits, '.', '_' and '-': got {self.name!r}"
            )
        given = {name for name in _FIGURES if getattr(self, name) not in (None, {})}
        sourced = {name for names in self.sources.values() for name in names}
        if unknown := sorted(sourced - set(_FIGURES)):
            raise ValueError(
                f"sources names {unknown[0]!r}; figures are {', '.join(sorted(_FIGURES))}"
            )
        if missing := sorted(given - sourced):
            raise ValueError(f"{', '.join(missing)} must be named under a source")
        return self

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Every precision that a runtime has kernels for."""
        return tuple(dict.fromkeys(p for runtime in self.runtimes for p in runtime.precisions))

    @property
    def has_fabric(self) -> bool:
        """Whether it is known how much programmable logic there is."""
        return self.arbitrary_bits and bool(self.dsp_slices or self.luts)

    @property
    def has_rate(self) -> bool:
        """Whether a peak rate is known, or the logic that one is made of."""
        return bool(self.peak_tops) or (self.has_fabric and self.clock_mhz is not None)

    @property
    def missing(self) -> tuple[str, ...]:
        """Figures that are not known and that something would be estimated from."""
        expected = ("peak_tops", "bandwidth_gb_s", "ram_bytes", "process_nm")
        on_chip = ("flash_bytes",) if self.device_class.startswith("mcu") else ()
        found = tuple(name for name in (*expected, *on_chip) if not getattr(self, name))
        return tuple(name for name in found if name != "peak_tops" or not self.has_rate)

    @property
    def limits(self) -> str:
        """What cannot be told for want of figures, and what still can; empty if all are there.

        Example:
            >>> device("h100").limits
            ''
        """
        impossible = [what for what, names in _NEEDS.items() if set(names) & set(self.missing)]
        if not impossible:
            return ""
        possible = [what for what in _NEEDS if what not in impossible]
        still = f"still possible: {', '.join(possible)}" if possible else "nothing else needs them"
        unknown = ", ".join(_WORDS[name] for name in self.missing)
        return f"{self.title}: {unknown} not known, so no {', no '.join(impossible)}; {still}."

    def macs_per_s(self, precision: Precision) -> float | None:
        """Return the peak rate of multiply-accumulates, or None if it is not known."""
        tops = self.peak_tops.get(precision)
        return None if tops is None else tops * 1e12 / 2


_FIGURES = (
    "cores",
    "clock_mhz",
    "peak_tops",
    "bandwidth_gb_s",
    "ram_bytes",
    "flash_bytes",
    "overhead_us",
    "power_w",
    "process_nm",
    "has_vnni",
    "dsp_slices",
    "luts",
)

_WORDS = {
    "peak_tops": "peak rate",
    "bandwidth_gb_s": "bandwidth",
    "ram_bytes": "RAM",
    "flash_bytes": "flash",
    "power_w": "rated power",
    "process_nm": "process",
}
"""Names of figures for a reader."""

_NEEDS = {
    "roofline": ("peak_tops", "bandwidth_gb_s"),
    "check of memory": ("ram_bytes", "flash_bytes"),
    "energy": ("process_nm",),
}
"""What is told from which figures."""


def read_profiles(text: str, source: str = "These devices") -> dict[str, DeviceProfile]:
    """Read devices from YAML: a mapping of names to entries. The text may come from anybody.

    Args:
        text: What a file holds.
        source: How the file is called in messages.

    Raises:
        ConfigError: If it is not such a mapping, too large, or an entry is illegal; the message
            names device, field and what is allowed.
    """
    if len(text) > _MAX_CHARACTERS:
        raise ConfigError(f"{source} may have {_MAX_CHARACTERS:,} characters: got {len(text):,}.")
    try:
        depth, aliased = 0, False
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            aliased = aliased or isinstance(event, yaml.AliasEvent)
            if depth > _MAX_DEPTH or aliased:
                raise ConfigError(f"{source} may not be nested so deeply, nor refer to itself.")
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{source} cannot be read as YAML: {first_line(error)}.") from error
    if not isinstance(content, dict) or not content:
        raise ConfigError(
            f"{source} must map names of devices to entries: got {type(content).__name__}.",
            hint="docs/devices.md shows one.",
        )
    if len(content) > _MAX_DEVICES:
        raise ConfigError(f"{source} may name {_MAX_DEVICES} devices: got {len(content)}.")
    return {str(name): _profile(str(name), entry, source) for name, entry in content.items()}


def load_profiles(path: str | Path) -> dict[str, DeviceProfile]:
    """Read a file of devices; see :func:`read_profiles`.

    Raises:
        ConfigError: If it cannot be read or is illegal.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path.name!r} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name!r} cannot be read: it is not UTF-8.") from error
    return read_profiles(text, repr(path.name))


@cache
def catalogue() -> Mapping[str, DeviceProfile]:
    """Return the devices that ship, by name, in the order of their classes."""
    found: dict[str, DeviceProfile] = {}
    for path in sorted(_FOLDER.glob("*.yaml")):
        found |= load_profiles(path)
    order = list(DEVICE_CLASSES)
    return MappingProxyType(
        dict(sorted(found.items(), key=lambda item: order.index(item[1].device_class)))
    )


def device(name: str) -> DeviceProfile:
    """Return a device of the catalogue.

    Raises:
        ConfigError: If there is none of that name.
    """
    try:
        return catalogue()[name]
    except KeyError:
        raise ConfigError(
            f"device must be one of {', '.join(catalogue())}: got {name!r}.", field="device"
        ) from None


def _profile(name: str, entry: Any, source: str) -> DeviceProfile:
    if not isinstance(entry, dict):
        raise ConfigError(
            f"{source}: {name!r} must be a mapping of fields: got {type(entry).__name__}."
        )
    if "name" in entry:
        raise ConfigError(f"{source}: {name!r} may not have a field name; its key is its name.")
    try:
        return DeviceProfile(name=name, **{str(key): value for key, value in entry.items()})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(
            f"{source}: {name!r}{f', {where}' if where else ''}: {message}.", field=where
        ) from error
