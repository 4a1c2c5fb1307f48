"""ONNX graphs that stay graphs, where a slider moves and somebody asks: as models of the zoo."""

import numpy as np
import pytest

from optim.errors import ConfigError, ExportError
from optim.export.downloads import find_export
from optim.models.onnx_file import open_onnx
from optim.recipe import Recipe
from optim.runner import run
from optim.runtime.session import InferenceSession
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from optim.whatif.answers import answer
from optim.whatif.devices import ladder, speed
from optim.whatif.engine import Engine
from optim.whatif.questions import export, layers, model_info, sizes, weights
from tests.optim.graph.graphs import quantized, recurrent
from tests.optim.models.convert.test_refusals import declared


@pytest.fixture
def files(tmp_path):
    """A recurrent classifier and a quantized one with what they say of 160 samples."""
    rng = np.random.default_rng(0)
    for name, model, shape in (("rnn", recurrent(), (6, 5)), ("qdq", quantized(), (5,))):
        (tmp_path / f"{name}.onnx").write_bytes(declared(model, 4).SerializeToString())
        x = rng.standard_normal((160, *shape)).astype(np.float32)
        y = InferenceSession.open(model).run(x).argmax(1)
        np.savez(tmp_path / f"{name}.npz", x=x, y=y)
    return tmp_path


@pytest.fixture
def engine(files):
    return Engine(base=files)


def recipe(name="rnn", *steps):
    made = Recipe(f"{name}.onnx", f"{name}.npz?split=made")
    for step in steps:
        made = made.with_step(step)
    return made


def test_a_file_of_a_fixed_batch_is_answered_for_as_any_other(files):
    for name, batch in (("any", "N"), ("four", 4)):
        model = declared(recurrent(batch=batch), 4)
        (files / f"{name}.onnx").write_bytes(model.SerializeToString())
    engine = Engine(base=files)
    some, four = (Recipe(f"{name}.onnx", "rnn.npz?split=made") for name in ("any", "four"))
    found = [ladder(engine, one)["devices"] for one in (some, four)]
    for one, other in zip(*found, strict=True):
        assert one["after"]["parts"] == other["after"]["parts"]
        assert one["after"]["latency"] == other["after"]["latency"]
    pruned = four.with_step(PruneWeights(sparsity=0.5))
    (step,) = speed(engine, pruned, "h100")["steps"]
    assert step["changes_work"]
    assert [model_info(engine, one)["batch"] for one in (some, four)] == [0, 4]
    rows = layers(engine, four)["rows"]
    assert sum(row["macs"] for row in rows) == 6 * 2 * 32 * (5 + 8) + 16 * 4
    told = export(engine, four, "openvino")
    assert told["verification"]["texts"]["found"]
    assert told["batch"] == 4


BOTH = (PruneWeights(sparsity=0.5), Quantize(samples=32))


def test_a_position_is_answered(engine):
    moved = recipe("rnn", *BOTH)
    bench = engine.workbench(moved)
    candidate = bench.prepare(moved, draft=True)
    baseline = bench.prepare(recipe(), draft=False)
    told = answer(bench, baseline, candidate, 1, None)
    assert told["quality"]["how"] == "measured", "the file itself was run"
    assert told["original"]["quality"]["value"] == 1.0
    assert told["file"]["value"] < told["original"]["file"]["value"]
    assert told["sparsity"]["value"] == pytest.approx(0.5, abs=0.01)
    assert told["macs"]["value"] == 6 * 2 * 32 * (5 + 8) + 16 * 4
    assert list(candidate.reports) == ["prune_weights", "quantize"]


def test_what_cannot_be_applied_is_refused_at_its_step(engine):
    moved = recipe("rnn", PruneChannels(pruning_ratio=0.5))
    with pytest.raises(ConfigError, match="is recurrent") as caught:
        engine.workbench(moved).prepare(moved, draft=True)
    assert caught.value.field == "prune_channels"
    assert engine.workbench(moved).prepare(moved.with_enabled("prune_channels", False), draft=True)


def test_layers_are_listed_with_bits_and_shares(engine):
    told = layers(engine, recipe("rnn", *BOTH))
    rows = {row["layer"]: row for row in told["rows"]}
    assert list(rows) == ["rnn.W", "rnn.R", "head"]
    assert [row["shape"] for row in rows.values()] == ["64x5", "64x8", "4x16"]
    assert {row["bits"] for row in rows.values()} == {8}
    assert sum(row["size_share"] for row in rows.values()) == pytest.approx(1, abs=0.01)
    assert sum(row["time_share"] for row in rows.values()) + told["other_time"] == pytest.approx(1)
    assert rows["rnn.W"]["time_share"] > 0
    assert rows["rnn.W"]["time_share"] / rows["rnn.R"]["time_share"] == pytest.approx(5 / 8)
    assert {row["group"] + row["fixed"] for row in rows.values()} == {""}


def test_a_file_of_integers_says_its_bits(engine):
    bits = {row["layer"]: row["bits"] for row in layers(engine, recipe("qdq"))["rows"]}
    assert bits == {"first": 8, "head": 32}
    told = sizes(engine, recipe("qdq"))
    assert told["original"]["dense"]["value"] > told["original"]["bit_width"]["value"]


def test_info_names_the_lane_and_what_it_refuses(engine):
    info = model_info(engine, recipe("rnn"))
    assert info["layers"] == ["rnn.W", "rnn.R", "head"]
    assert "is recurrent" in info["refused"]["prune_channels"]
    assert {"quantize", "prune_weights"}.isdisjoint(info["refused"])


@pytest.mark.parametrize("layer", ["rnn.R", "head"])
def test_weights_before_and_after(engine, layer):
    moved = recipe("rnn", PruneWeights(sparsity=0.5), Quantize(weight_bits=2))
    told = weights(engine, moved, layer)
    assert sum(told["before"]) == sum(told["after"])
    assert told["zeros"] > 0.3
    with pytest.raises(ConfigError, match="no layer 'nowhere'"):
        weights(engine, recipe("rnn"), "nowhere")


def test_weights_of_integers_are_shown_as_what_they_stand_for(engine):
    told = weights(engine, recipe("qdq"), "first")
    assert told["values"] > 30
    assert told["edges"][-1] == pytest.approx(2, abs=0.2)


def test_sizes_are_those_of_the_weights(engine):
    told = sizes(engine, recipe("rnn", PruneWeights(sparsity=0.9), Quantize(weight_bits=4)))
    before, after = told["original"], told["compressed"]
    assert before["dense"]["value"] == before["bit_width"]["value"]
    assert after["dense"]["value"] == before["dense"]["value"]
    assert after["entropy"]["value"] < after["bit_width"]["value"] < after["dense"]["value"]


def test_a_file_is_verified_and_kept(engine, own_home, files):
    told = export(engine, recipe("rnn", *BOTH), "onnx")
    path = find_export(told["token"], told["name"])
    assert path is not None
    assert told["verification"]["passed"]
    assert "lstm" not in told["notes"]
    again = open_onnx(path)
    assert again.task.class_names == ("0", "1", "2", "3")
    floats = export(engine, recipe("rnn", *BOTH), "onnx_float")
    assert floats["bytes"] > told["bytes"]
    with pytest.raises(ExportError, match="kept as an ONNX graph"):
        export(engine, recipe("rnn", *BOTH), "safetensors")


def test_a_run_goes_from_beginning_to_end(files, tmp_path):
    result = run(recipe("rnn", *BOTH), base=files)
    assert result.scorecard.file.value < result.baseline.file.value
    assert result.scorecard.sizes["entropy"].value < result.baseline.sizes["entropy"].value
    assert result.verification.problem == ""
    assert "rnn.W" in result.report()
    folder = result.save(tmp_path / "out")
    assert (folder / "model.onnx").read_bytes() == result.file


def test_cached_variants_are_counted_by_their_bytes(engine):
    for sparsity in (0.1, 0.2, 0.3):
        moved = recipe("rnn", PruneWeights(sparsity=sparsity))
        engine.workbench(moved).prepare(moved, draft=False)
    assert engine.bundles.used > 3 * len((engine.base / "rnn.onnx").read_bytes()) * 0.9
