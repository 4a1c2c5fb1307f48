"""Networks and devices whose times and memory can be computed by hand."""

from dataclasses import dataclass, replace

from optim.devices.operators import Operator
from optim.devices.parts import Parts
from optim.devices.profile import DeviceProfile, Runtime
from optim.ladder.footprint import Footprint
from optim.quantity import How, Quantity

RUNTIME = Runtime(name="Engine", precisions=("fp32", "int8"))


def conv(name, inputs, outputs, rows=64, dtype="float32", **more):
    macs = inputs * outputs * rows * 9
    weights = inputs * outputs * 9 * (1 if dtype == "int8" else 4)
    return Operator(name, "conv", dtype, name, inputs, outputs, rows, 9, macs=macs,
                    weight_bytes=weights, **more)  # fmt: skip


def footprint(*operators, arena=1000, **more):
    weights = sum(o.weight_bytes for o in operators)
    made = Footprint(
        operators=operators,
        params=weights // 4,
        macs=sum(o.macs for o in operators),
        activations=sum(o.rows * o.outputs for o in operators),
        weight_bytes=weights,
        stored_bytes=weights,
        unpacked_bytes=0,
        arena=None if arena is None else Quantity.exact(arena, "bytes", How.ESTIMATED),
        weight_bits={},
        zeros={},
        input_shape=(3, 8, 8),
        task="classification",
    )
    return replace(made, **more)


def device(device_class="mcu", ram=10_000, flash=100_000, runtimes=(RUNTIME,), **more):
    figures = {"ram_bytes": ram, "flash_bytes": flash, **more}
    figures = {name: value for name, value in figures.items() if value}
    return DeviceProfile(
        name="d", title="Device", device_class=device_class, chip="C", runtimes=runtimes,
        sources={"made up": tuple(figures)}, **figures,
    )  # fmt: skip


@dataclass(frozen=True)
class Clock:
    """One microsecond to start an operator, one for every thousand MACs in full blocks of 8."""

    overhead_ms: float = 0.0
    starting: float = 0.001
    block: int = 8

    def split(self, operator):
        if operator.fused or operator.kind == "view":
            return Parts()
        useful = operator.macs / 1e6
        filled = -(-operator.outputs // self.block) * self.block / operator.outputs
        return Parts(self.starting, useful, useful * (filled - 1), 0.0)
