"""A calibrated device: it finds the law its times were made with, and refuses impossible ones."""

import copy
import json

import numpy as np
import pytest

from optim.devices.calibration import Calibration, operator_of, read_probe
from optim.devices.operators import Operator
from optim.devices.probe import NETWORKS, SCHEMA, cases, network
from optim.errors import ConfigError

OVERHEAD = 0.02


def law(operator: Operator) -> float:
    """Milliseconds on a device of our own: 2 GMAC/s and 500 MB/s, int8 three times as fast."""
    rate = 6e6 if operator.dtype == "int8" else 2e6
    return 0.004 + operator.macs / rate + operator.moved_bytes / 5e5


def made(noise: float = 0.02) -> dict:
    random = np.random.default_rng(0)

    def times(ms):
        return [float(ms * np.exp(noise * random.standard_normal())) for _ in range(9)]

    return {
        "schema": SCHEMA,
        "device": {"name": "Made up", "machine": "riscv64", "cores": 1, "memory_bytes": 2**30},
        "runtime": {"name": "ONNX Runtime", "version": "1.32.0", "provider": "CPU"},
        "threads": 1,
        "overhead_ms": times(OVERHEAD),
        "operators": [
            {**case, "ms": times(OVERHEAD + case["count"] * law(operator_of(case)))}
            for case in cases()
        ],
        "networks": [
            {
                "name": name,
                "dtype": dtype,
                "ms": times(OVERHEAD + sum(law(operator_of(c)) for c in network(name, dtype)[2])),
            }
            for name, dtype in NETWORKS
        ],
        "left_out": [],
        "date": "2026-11-26",
    }


@pytest.fixture(scope="module")
def content() -> dict:
    return made()


@pytest.fixture(scope="module")
def calibration(content):
    return Calibration(read_probe(json.dumps(content).encode()))


def conv(channels: int, rows: int, dtype: str = "float32") -> Operator:
    e = 4 if dtype == "float32" else 1
    macs = rows * channels * channels * 9
    moved = rows * channels * e
    return Operator("c", "conv", dtype, "", channels, channels, rows, 9, 1, macs, moved, moved,
                    channels * channels * 9 * e)  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize(("channels", "rows"), [(16, 400), (24, 900), (64, 100), (96, 196)])
def test_sizes_that_were_not_probed_follow_the_law(calibration, channels, rows, dtype):
    operator = conv(channels, rows, dtype)
    (found,) = calibration.estimate([operator]).operators
    assert found == pytest.approx(law(operator), rel=0.15)


def test_a_network_takes_an_empty_inference_and_its_operators(calibration):
    network_ = [conv(16, 1024), conv(32, 256), conv(64, 64, "int8")]
    found = calibration.estimate(network_)
    wanted = OVERHEAD + sum(map(law, network_))
    assert found.latency.value == pytest.approx(wanted, rel=0.1)
    assert found.latency.low <= wanted <= found.latency.high
    assert str(found.latency.how) == "estimated"
    assert found.substituted == ()


def test_what_another_operator_does_costs_nothing(calibration):
    fused = Operator("a", "add", "float32", rows=1024, inputs=64, read_bytes=2**20, fused=True)
    view = Operator("v", "view", "float32", rows=1024, inputs=64)
    assert calibration.estimate([fused, view]).operators == (0.0, 0.0)


def test_a_kind_that_was_not_probed_is_named_and_widens_the_interval(calibration):
    strange = Operator("lstm", "recurrent", "float32", inputs=64, outputs=64, rows=50,
                       macs=50 * 64 * 64 * 8, weight_bytes=4 * 64 * 64 * 8)  # fmt: skip
    known = calibration.estimate([conv(16, 1024)]).latency
    found = calibration.estimate([strange])
    assert found.substituted == ("lstm",)
    assert found.latency.high / found.latency.value > known.high / known.value


def test_networks_that_disagree_widen_the_interval(content):
    doubtful = copy.deepcopy(content)
    for checked in doubtful["networks"]:
        checked["ms"] = [2 * ms for ms in checked["ms"]]
    wide = Calibration(read_probe(json.dumps(doubtful).encode()))
    latency = wide.estimate([conv(16, 1024)]).latency
    assert latency.high > 2 * latency.value


def test_a_disturbed_empty_inference_makes_nothing_free(content):
    disturbed = copy.deepcopy(content)
    disturbed["overhead_ms"] = [50.0] * 9
    found = Calibration(read_probe(json.dumps(disturbed).encode()))
    assert found.estimate([conv(64, 100)]).operators[0] > 0.5 * law(conv(64, 100))


# --- bad input ----------------------------------------------------------------------------------


def test_conversions_of_the_first_probe_are_three_operators_each(content, calibration):
    old = copy.deepcopy(content)
    for case in old["operators"]:
        if case["kind"] == "convert":
            each = law(operator_of(case))
            case["ms"] = [OVERHEAD + 3 * case["count"] * each] * 9
    before = read_probe(changed(old, schema="optim.probe/1"))
    assert before.id == read_probe(changed(old)).id, "files keep their names"
    convert = operator_of({**next(c for c in cases() if c["kind"] == "convert")})
    known = calibration.split(convert).total
    assert Calibration(before).split(convert).total == pytest.approx(known, rel=0.1)
    assert Calibration(read_probe(changed(old))).split(convert).total > 2 * known


def changed(content: dict, **fields) -> bytes:
    return json.dumps({**content, **fields}).encode()


def with_case(content: dict, **fields) -> bytes:
    first, *others = content["operators"]
    return changed(content, operators=[{**first, **fields}, *others])


def test_negative_infinite_and_absurd_times_are_named(content):
    with pytest.raises(ConfigError, match=r"operators\.0\.ms\.0: .*equal to 0\.000001: got -1"):
        read_probe(with_case(content, ms=[-1.0]))
    with pytest.raises(ConfigError, match=r"operators\.0\.ms\.0"):
        read_probe(with_case(content, ms=[float("inf")]))
    with pytest.raises(ConfigError, match=r"operators\.0: .*less than any processor needs"):
        read_probe(with_case(content, ms=[1e-6]))
    with pytest.raises(ConfigError, match=r"overhead_ms\.0"):
        read_probe(changed(content, overhead_ms=[1e-300]))
    with pytest.raises(ConfigError, match=r"operators\.0\.ms\.0"):
        read_probe(with_case(content, ms=[1e9]))


def test_files_of_other_kinds_and_versions_say_what_to_do(content):
    with pytest.raises(ConfigError, match=r"must be optim\.probe/2: got 'optim\.probe/3'") as e:
        read_probe(changed(content, schema="optim.probe/3"))
    assert "Download the probe again" in e.value.hint
    with pytest.raises(ConfigError, match="schema must be"):
        read_probe(b"[1, 2]")
    with pytest.raises(ConfigError, match="no JSON"):
        read_probe(b'{"schema": ')
    with pytest.raises(ConfigError, match="no JSON"):
        read_probe(b"[" * 100_000)
    with pytest.raises(ConfigError, match="a megabyte at most"):
        read_probe(b" " * 2_000_000)


@pytest.mark.parametrize(
    ("field", "value"),
    [("threads", 0), ("threads", "many"), ("operators", []), ("device", {"name": ""})],
)
def test_a_field_edited_by_hand_is_named(content, field, value):
    with pytest.raises(ConfigError, match=field):
        read_probe(changed(content, **{field: value}))


def test_too_little_measured_is_refused(content):
    adds = [case for case in content["operators"] if case["kind"] == "add"]
    for operators in (content["operators"][:2], adds):
        with pytest.raises(ConfigError, match="no kind of operator that multiplies was measured 3"):
            Calibration(read_probe(changed(content, operators=operators)))


@pytest.mark.parametrize("kept", [("add", "conv"), ("conv",)])
def test_a_probe_of_few_kinds_estimates_the_others_by_what_multiplies_alike(content, kept):
    operators = [case for case in content["operators"] if case["kind"] in kept]
    found = Calibration(read_probe(changed(content, operators=operators)))
    small, large = (
        Operator("g", "gemm", "float32", inputs=n, outputs=n, macs=n * n) for n in (100, 1000)
    )
    moving = Operator("s", "softmax", "float32", inputs=64, outputs=64, rows=64)
    estimate = found.estimate([small, large, moving])
    assert estimate.substituted == ("g", "g", "s")
    assert estimate.operators[1] > 10 * estimate.operators[0]


def test_the_same_content_has_the_same_identity(content):
    first, again = read_probe(changed(content)), read_probe(changed(content))
    assert first.id == again.id != read_probe(changed(content, threads=2)).id
