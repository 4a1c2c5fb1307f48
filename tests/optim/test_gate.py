"""The gate's statistics by hand, and its baselines."""

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from optim.data import with_validation
from optim.errors import ConfigError, DataError
from optim.export.deploy import onnx_bytes
from optim.gate import (
    Baseline,
    GateResult,
    Outcome,
    accuracy_criterion,
    agreement_criterion,
    bytes_criterion,
    check_model,
    error_criterion,
    latency_criterion,
    samples_needed,
    sqnr_criterion,
)
from optim.measure.evaluate import predict
from optim.measure.intervals import paired_difference, wilson
from optim.measure.latency import LatencyPair
from optim.measure.predictions import Predictions, accuracy_change
from optim.measure.scorecard import Scorecard
from optim.quantity import Comparison, Quantity
from optim.runner import Measured
from optim.subject import Subject
from tests.helpers import data_for, tiny_bundle


def change(lost, won, n):
    before, after = np.ones(n, bool), np.ones(n, bool)
    after[:lost] = False
    before[n - won :] = False
    return accuracy_change(before, after)


# --- criteria -----------------------------------------------------------------------------------


def test_the_interval_of_the_difference_is_that_of_bonett_and_price():
    """30 lost, 10 won of 1,000, by hand.

    Shares 11/1002 and 31/1002 differ by -0.01996; their variance is
    (0.010978 + 0.030938 - 0.01996^2) / 1002 = 4.1435e-5, its root 0.0064370;
    -0.01996 -+ 1.95996 * 0.0064370 gives -3.258 and -0.734 points.
    """
    found = change(lost=30, won=10, n=1000).difference
    assert (found.value, found.n) == (-2.0, 1000)
    assert (found.low, found.high) == (
        pytest.approx(-3.258, abs=1e-3),
        pytest.approx(-0.734, abs=1e-3),
    )


@pytest.mark.parametrize(
    ("margin", "outcome"),
    [
        pytest.param(3.3, Outcome.HOLDS, id="the whole interval is above the margin"),
        pytest.param(3.2, Outcome.INCONCLUSIVE, id="its lower end is below"),
        pytest.param(0.8, Outcome.INCONCLUSIVE, id="its upper end is above"),
        pytest.param(0.7, Outcome.REGRESSED, id="the whole interval is below"),
        pytest.param(0.0, Outcome.REGRESSED, id="no loss is acceptable"),
    ],
)
def test_one_difference_against_several_margins(margin, outcome):
    """The interval is -3.258..-0.734 points, see above."""
    assert accuracy_criterion(change(30, 10, 1000), margin).outcome is outcome


@pytest.mark.parametrize(
    ("lost", "won", "n", "margin", "outcome"),
    [
        # 10 lost of 10,000: the interval is about -0.17..-0.04 points.
        pytest.param(10, 0, 10_000, 1.0, Outcome.HOLDS, id="a small loss inside the margin"),
        pytest.param(300, 0, 10_000, 1.0, Outcome.REGRESSED, id="three points lost"),
        pytest.param(3, 1, 200, 1.0, Outcome.INCONCLUSIVE, id="too few samples"),
        pytest.param(100, 100, 10_000, 1.0, Outcome.HOLDS, id="as many won as lost"),
        pytest.param(100, 0, 10_000, 1.0, Outcome.INCONCLUSIVE, id="exactly at the margin"),
    ],
)
def test_non_inferiority_is_decided_by_the_whole_interval(lost, won, n, margin, outcome):
    assert accuracy_criterion(change(lost, won, n), margin).outcome is outcome


def test_more_samples_decide_what_few_could_not():
    few, many = change(2, 1, 100), change(200, 100, 10_000)
    assert accuracy_criterion(few, 2.0).outcome is Outcome.INCONCLUSIVE
    assert accuracy_criterion(many, 2.0).outcome is Outcome.HOLDS


def test_without_any_changed_sample_a_point_needs_276_samples():
    """1.95996 * sqrt(2) / (n + 2) must be below 0.01: n + 2 above 277.2."""
    assert accuracy_criterion(change(0, 0, 275), 1.0).outcome is Outcome.INCONCLUSIVE
    assert accuracy_criterion(change(0, 0, 276), 1.0).outcome is Outcome.HOLDS


def test_the_table_of_sample_sizes_is_true():
    text = (Path(__file__).resolve().parents[2] / "docs" / "gate.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d.]+) points? \| (.+) \|$", text, re.MULTILINE)
    assert len(rows) == 3
    for margin, cells in rows:
        for share, cell in zip((0, 0.01, 0.02, 0.05, 0.1), cells.split(" | "), strict=True):
            n = int(cell.replace(",", ""))
            ends = [
                -100 * paired_difference(share * m / 2, share * m / 2, m)[0] for m in (n, n - 1)
            ]
            assert ends[0] < float(margin) <= ends[1]


def test_an_inconclusive_accuracy_says_how_many_samples_would_decide():
    found = accuracy_criterion(change(20, 0, 1000), 3.0)
    assert found.outcome is Outcome.HOLDS
    assert "would decide" not in found.detail
    few = accuracy_criterion(change(2, 0, 100), 3.0)
    assert few.outcome is Outcome.INCONCLUSIVE
    needed = samples_needed(few.found, 3.0)
    assert f"about {needed:,} samples would decide" in few.detail
    times = needed // 100
    decided = accuracy_criterion(change(2 * times, 0, 100 * times), 3.0)
    assert decided.outcome is Outcome.HOLDS


def test_a_difference_that_is_the_margin_is_decided_by_no_number_of_samples():
    assert samples_needed(Quantity(-1.0, "points", -2.0, 0.0, n=100), 1.0) is None
    assert "any practical number" in accuracy_criterion(change(1, 0, 100), 1.0).detail


@pytest.mark.parametrize("limit", [-1.0, float("nan"), float("inf")])
def test_limits_that_make_no_sense_are_refused(limit):
    with pytest.raises(ConfigError, match="max_loss_points must be a number from 0"):
        accuracy_criterion(change(1, 1, 100), limit)
    ratio = Comparison(Quantity(1.0, "x", 0.9, 1.1, 40), better="lower")
    with pytest.raises(ConfigError, match="max_latency_ratio must be a number"):
        latency_criterion(ratio, limit)


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (0.9, 1.05, Outcome.HOLDS),
        (1.05, 1.2, Outcome.INCONCLUSIVE),
        (1.15, 1.3, Outcome.REGRESSED),
    ],
)
def test_latency_is_decided_by_the_interval_of_the_ratio(low, high, outcome):
    ratio = Comparison(Quantity((low + high) / 2, "x", low, high, 40), better="lower")
    assert latency_criterion(ratio, 1.1).outcome is outcome


def test_bytes_are_exact_and_the_limit_itself_is_allowed():
    size = Quantity.exact(1000, "bytes")
    assert bytes_criterion(size, 1000).outcome is Outcome.HOLDS
    assert bytes_criterion(size, 999).outcome is Outcome.REGRESSED


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([Outcome.HOLDS], 0),
        ([Outcome.HOLDS, Outcome.INCONCLUSIVE], 3),
        ([Outcome.INCONCLUSIVE, Outcome.REGRESSED], 1),
    ],
)
def test_the_worst_criterion_decides(outcomes, code):
    sizes = {
        Outcome.HOLDS: bytes_criterion(Quantity.exact(1, "bytes"), 1),
        Outcome.REGRESSED: bytes_criterion(Quantity.exact(2, "bytes"), 1),
        Outcome.INCONCLUSIVE: accuracy_criterion(change(2, 1, 100), 1.0),
    }
    assert GateResult(tuple(sizes[o] for o in outcomes)).exit_code == code


# --- reports ------------------------------------------------------------------------------------


TWO = GateResult(
    (bytes_criterion(Quantity.exact(2, "bytes"), 1), accuracy_criterion(change(2, 1, 100), 1.0))
)


def test_junit_counts_failures_and_skips_and_escapes_names():
    root = ElementTree.fromstring(TWO.to_junit("a <b> & c"))
    suite = root.find("testsuite")
    counts = {"tests": "2", "failures": "1", "errors": "0", "skipped": "1"}
    assert root.attrib == counts
    assert suite.attrib == {"name": "a <b> & c", **counts}
    assert suite.find("testcase[@name='bytes']/failure").get("message") == (
        "has at most 1 bytes: has 2 bytes"
    )
    skipped = suite.find("testcase[@name='accuracy']/skipped").get("message")
    assert skipped.startswith("inconclusive: loses at most 1 point: ")


def test_markdown_is_one_table_with_a_row_a_criterion():
    lines = TWO.to_markdown("m.onnx").splitlines()
    assert lines[0] == "**Model check of `m.onnx`: regressed**"
    assert lines[4] == "| bytes | has at most 1 bytes | has 2 bytes | regressed |"
    assert [line.count("|") for line in lines[2:]] == [5, 5, 5, 5]


@pytest.mark.parametrize(
    ("same", "margin", "outcome"),
    [
        # 1,000 of 1,000 agree: the interval is 99.6..100 %.
        (1000, 1.0, Outcome.HOLDS),
        (1000, 0.1, Outcome.INCONCLUSIVE),
        # 950 of 1,000: 93.5..96.2 %.
        (950, 7.0, Outcome.HOLDS),
        (950, 6.0, Outcome.INCONCLUSIVE),
        (950, 3.0, Outcome.REGRESSED),
    ],
)
def test_without_labels_agreement_is_held_against_the_margin(same, margin, outcome):
    share = Quantity(same / 1000, "fraction", *wilson(same, 1000), 1000)
    found = agreement_criterion(share, margin)
    assert found.outcome is outcome
    assert found.found == share
    assert ("samples would decide" in found.detail) is (outcome is Outcome.INCONCLUSIVE)


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (20.0, 24.0, Outcome.HOLDS),
        (19.0, 23.0, Outcome.INCONCLUSIVE),
        (15.0, 19.9, Outcome.REGRESSED),
    ],
)
def test_outputs_that_are_no_classes_are_held_against_an_sqnr(low, high, outcome):
    found = sqnr_criterion(Quantity((low + high) / 2, "db", low, high, 50), 20.0)
    assert found.outcome is outcome
    assert sqnr_criterion(None, 20.0).outcome is Outcome.HOLDS, "there is no difference"


@pytest.mark.parametrize(
    ("low", "high", "limit", "outcome"),
    [
        (0.0, 0.0, 0.0, Outcome.HOLDS),
        (1.0, 1.0, 0.0, Outcome.HOLDS),
        (0.5, 1.01, 1.0, Outcome.HOLDS),
        (0.9, 1.2, 10.0, Outcome.INCONCLUSIVE),
        (1.11, 1.2, 10.0, Outcome.REGRESSED),
    ],
)
def test_a_squared_error_is_held_against_percent_more_than_the_baselines(low, high, limit, outcome):
    change = Comparison(Quantity((low + high) / 2, "x", low, high, 50), better="lower")
    found = error_criterion(change, limit)
    assert (found.outcome, found.name, found.unit) == (outcome, "mse", "x")
    assert found.limit == pytest.approx(1 + limit / 100)
    assert ("samples would decide" in found.detail) == (outcome is Outcome.INCONCLUSIVE)
    with pytest.raises(ConfigError, match="max_loss_points must be a number from 0"):
        error_criterion(change, -1)


# --- baselines ----------------------------------------------------------------------------------


BUNDLE = tiny_bundle("mlp")
DATA = data_for(BUNDLE)
ONE = Quantity.exact(1, "count")


def predictions(wrong=(), ids=(4, 7, 9)):
    outputs = np.eye(4, dtype=np.float32)[[0, 1, 2]]
    outputs[list(wrong)] *= -1
    return Predictions(np.array(ids), outputs, np.array([0, 1, 2]))


def measured(outputs=None, file=b"onnx", data=DATA, part="validation"):
    outputs = outputs or predictions()
    conditions = {"runtime": "none", "batch_size": 2, "threads": 1}
    card = Scorecard(
        {"accuracy": outputs.accuracy()}, "accuracy", ONE, ONE, ONE, {}, ONE, ONE, conditions
    )
    subject = Subject(BUNDLE, data, part, "unseen", 0)
    return Measured(subject, part, "unseen", card, outputs, file)


def test_a_baseline_comes_back_as_it_was_written(tmp_path):
    written = Baseline.of(measured(predictions(wrong=[1])), seed=3)
    read = Baseline.load(written.save(tmp_path / "b.json"))
    assert read == written
    assert (read.data, read.part, read.seed) == (DATA.hash, "validation", 3)
    assert (read.n, read.wrong, read.file, read.missing) == (3, (7,), b"onnx", "")
    assert read.change(predictions()).difference.value == pytest.approx(100 / 3)


def test_samples_are_matched_by_id_and_not_by_position():
    baseline = Baseline.of(measured(predictions(wrong=[0])), seed=0)
    turned = Predictions(
        np.array([9, 7, 4]), np.eye(4, dtype=np.float32)[[2, 1, 0]], np.array([2, 1, 0])
    )
    found = baseline.change(turned).difference
    assert found.value == pytest.approx(100 / 3)
    same = replace(turned, targets=np.array([2, 1, 3]))
    assert baseline.change(same).difference.value == 0


def test_a_baseline_refuses_other_samples():
    baseline = Baseline.of(measured(), seed=0)
    with pytest.raises(DataError, match="other samples"):
        baseline.change(predictions(ids=(4, 7, 10)))


def test_a_check_refuses_other_data():
    baseline = Baseline.of(measured(), seed=0)
    with pytest.raises(DataError, match="other data"):
        check_model(measured(data=replace(DATA, hash="another")), baseline)


def test_a_baseline_remembers_where_validation_came_from():
    whole = data_for(BUNDLE)
    parts = {name: n for name, n in whole.parts.items() if name != "validation"}
    for policy in ("train", "test"):
        data = with_validation(replace(whole, parts=parts), seen=(), policy=policy)
        assert Baseline.of(measured(data=data), seed=0).split == policy


def test_bytes_and_latency_are_asked_only_where_there_is_a_limit():
    baseline = Baseline.of(measured(), seed=0)
    assert [c.name for c in check_model(measured(), baseline).criteria] == ["accuracy"]
    result = check_model(measured(), baseline, max_loss_points=100, max_bytes=3)
    assert [(c.name, str(c.outcome)) for c in result.criteria][1:] == [("bytes", "regressed")]
    assert result.exit_code == 1


def test_latency_is_measured_with_the_baselines_file_in_turns(tmp_path, monkeypatch):
    asked = []

    def compare(before, after, inputs, threads, *, interface):
        asked.append((before, after, inputs.shape, threads))
        ratio = Comparison(Quantity(1.5, "x", 1.4, 1.6, 40), better="lower")
        return LatencyPair(ONE, ONE, ratio)

    monkeypatch.setattr("optim.gate.check.compare_files", compare)
    baseline = Baseline.load(Baseline.of(measured(), seed=0).save(tmp_path / "b.json"))
    result = check_model(measured(file=b"new"), baseline, max_latency_ratio=1.1)
    assert asked == [(b"onnx", b"new", (2, 12), 1)]
    assert result.criteria[1].outcome is Outcome.REGRESSED


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(lambda file: file.unlink(), "'b.onnx' is not beside it", id="gone"),
        pytest.param(lambda file: file.write_bytes(b"x"), "not the file it was", id="other"),
    ],
)
def test_latency_without_the_baselines_file_is_inconclusive_and_says_why(tmp_path, spoil, reason):
    path = Baseline.of(measured(), seed=0).save(tmp_path / "b.json")
    spoil(tmp_path / "b.onnx")
    found = check_model(measured(), Baseline.load(path), max_latency_ratio=1.1).criteria[1]
    assert found.outcome is Outcome.INCONCLUSIVE
    assert reason in found.detail
    assert found.found is None


def test_only_a_file_beside_the_baseline_is_read(tmp_path):
    (tmp_path / "in").mkdir()
    path = Baseline.of(measured(), seed=0).save(tmp_path / "in" / "b.json")
    (tmp_path / "in" / "b.onnx").rename(tmp_path / "b.onnx")
    content = json.loads(path.read_text())
    content["onnx"]["name"] = "../b.onnx"
    path.write_text(json.dumps(content))
    assert Baseline.load(path).file is None


def test_a_baseline_is_a_json_file(tmp_path):
    with pytest.raises(ConfigError, match=r"\.json file"):
        Baseline.of(measured(), seed=0).save(tmp_path / "b.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": "optim.baseline/2"}', "\x00"], ids=repr
)
def test_what_is_no_baseline_is_refused_with_the_command_that_writes_one(tmp_path, text):
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(ConfigError, match="--save-baseline"):
        Baseline.load(tmp_path / "b.json")


def test_a_baseline_with_a_number_beyond_all_numbers_is_none(tmp_path):
    path = Baseline.of(measured(), seed=0).save(tmp_path / "b.json")
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1e400'))
    with pytest.raises(ConfigError, match="--save-baseline"):
        Baseline.load(path)


def test_a_detector_is_held_against_what_its_baseline_finds():
    """Outputs may follow the baseline's at 20 dB and find nothing."""
    bundle, blind = tiny_bundle("detector"), tiny_bundle("detector")
    with torch.no_grad():  # its first place sees the box in the middle; a fresh head finds nothing
        bundle.module.head.weight.zero_()
        bundle.module.head.bias.copy_(torch.tensor([0.0] * 4 + [0.5, 0.5, 0.0, 0.0]))
    data = data_for(bundle)

    def judged(model):
        said = predict(model, Subject(model, data, "validation", "unseen", 0).samples())
        conditions = {"runtime": "none", "batch_size": 2, "threads": 1}
        card = Scorecard({}, "map", ONE, ONE, ONE, {}, ONE, ONE, conditions)
        subject = Subject(model, data, "validation", "unseen", 0)
        return Measured(subject, "validation", "unseen", card, said, onnx_bytes(model))

    baseline = Baseline.of(judged(bundle), seed=0)
    (same,) = check_model(judged(bundle), baseline).criteria
    assert (same.name, same.unit, same.outcome) == ("map", "points", Outcome.HOLDS)
    (worse,) = check_model(judged(blind), baseline, max_loss_points=0.01).criteria
    assert worse.found.value < 0
    assert worse.outcome is not Outcome.HOLDS
