"""The bench of peers: how their scripts are run, and what its table makes of their answers."""

import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from optim.measure.predictions import Predictions
from optim.models.resnet import ResNet
from optim.subject import Subject
from tests.helpers import data_for, tiny_bundle

BENCH = Path(__file__).resolve().parents[2] / "bench"
N = 40
_TINY = (tiny_bundle("resnet"), data_for(tiny_bundle("resnet")))

SCRIPT = """
import os
from worker import NotOffered, serve

def quantized(cell):
    if cell.weight_bits == 3:
        raise NotOffered("weights of 3 bits")
    if cell.weight_bits == 2:
        os._exit(7)
    if cell.activation_bits == 4:
        raise ValueError("too few bits\\nand a second line")
    cell.file.write_bytes((cell.folder / "network.onnx").read_bytes())
    return lambda images: images[:, ::-1] if cell.way == "turned" else images

serve(lambda folder: lambda images: images, quantized)
"""


@pytest.fixture
def bench(monkeypatch, tmp_path, own_home):
    """The bench, with a file of its own and one peer whose script is here."""
    monkeypatch.syspath_prepend(str(BENCH))
    module = importlib.import_module("peers")
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    for name in ("worker", "network"):
        shutil.copy(BENCH / "peers" / f"{name}.py", scripts)
    (scripts / "fake.py").write_text(SCRIPT)
    ways = {name: module.Way("nearest", "nothing") for name in ("straight", "turned")}
    monkeypatch.setattr(module, "RESULTS", tmp_path / "peers.json")
    monkeypatch.setattr(module, "SCRIPTS", scripts)
    monkeypatch.setattr(module, "PEERS", {"Fake": module.Peer("fake", ("fake==1",), "all", ways)})
    return module


@pytest.fixture
def laid_out(tmp_path):
    """What a script reads: two outputs a sample, the first larger in all but the last ten."""
    outputs = np.tile(np.array([[1, 0]], np.float32), (N, 1))
    outputs[-10:] = outputs[-10:, ::-1]
    folder = tmp_path / "job"
    folder.mkdir()
    np.save(folder / "images.npy", outputs)
    np.save(folder / "calibration-0.npy", outputs)
    weight = helper.make_tensor("w", TensorProto.INT4, (3, 3), [1] * 9)
    scale = helper.make_tensor("s", TensorProto.FLOAT, (3,), [1.0] * 3)
    graph = helper.make_graph([], "tiny", [], [], [weight, scale])
    onnx.save(helper.make_model(graph), folder / "network.onnx")
    return folder, Predictions(np.arange(N), outputs, np.zeros(N, int))


def by_width(bench, laid_out, way="straight"):
    folder, original = laid_out
    wanted = [bench.Cell("Fake", way, width, 0) for width in bench.WIDTHS]
    found = bench.run_script(Path(sys.executable), folder, wanted, original)
    return {cell.width: result for cell, result in found}


def test_all_answers_are_kept_and_none_is_asked_for_twice(bench, laid_out, monkeypatch):
    asked, (folder, original) = [], laid_out
    subject = Subject(*_TINY, "test", "unseen", 0)

    def answer(python, folder, wanted, original):
        asked.extend(wanted)
        yield from real(python, folder, wanted, original)

    def lay_out(to, subject, draws):
        shutil.copytree(folder, to, dirs_exist_ok=True)

    real = bench.run_script
    home = folder / "home"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.setattr(bench, "opened", lambda: subject)
    monkeypatch.setattr(bench, "predict", lambda *_: original)
    monkeypatch.setattr(bench, "own_files", lambda _: {"W8A8": {"file": 1}})
    monkeypatch.setattr(bench, "environment", lambda _: home)
    monkeypatch.setattr(bench, "installed", lambda _: ["fake==1"])
    monkeypatch.setattr(bench, "lay_out", lay_out)
    monkeypatch.setattr(bench, "run_script", answer)
    bench.run(["Fake"], list(bench.WIDTHS), [0], stay=True, again=False)
    assert len(asked) == 2 * len(bench.WIDTHS)
    assert set(bench.read()["cells"]) == {cell.key for cell in asked}
    bench.run(["Fake"], list(bench.WIDTHS), [0], stay=True, again=False)
    assert len(asked) == 2 * len(bench.WIDTHS)
    bench.run(["Fake"], list(bench.WIDTHS), [0], stay=False, again=True)
    assert [cell.width for cell in asked[10:]] == ["W4A4", "W2A8"] * 2
    assert not home.exists()


def test_packages_that_cannot_be_had_are_told_for_every_cell(bench, monkeypatch):
    def refuse(peer):
        raise bench.DoesNotInstall("ERROR: there is no such package")

    monkeypatch.setattr(bench, "opened", lambda: Subject(*_TINY, "test", "unseen", 0))
    monkeypatch.setattr(bench, "own_files", lambda _: {"W8A8": {"file": 1}})
    monkeypatch.setattr(bench, "environment", refuse)
    bench.run(["Fake"], ["W8A8", "W4A8"], [0], stay=False, again=False)
    states = {cell["state"] for cell in bench.read()["cells"].values()}
    assert states == {"does not install"}
    assert len(bench.read()["cells"]) == 4


def test_every_cell_has_an_answer_whatever_happens_in_the_script(bench, laid_out):
    found = by_width(bench, laid_out)
    assert {width: result["state"] for width, result in found.items()} == {
        "W8A8": "done",
        "W4A8": "done",
        "W4A4": "failed",
        "W3A8": "not offered",
        "W2A8": "failed",
    }
    assert found["W4A4"]["reason"] == "ValueError: too few bits"
    assert found["W3A8"]["reason"] == "weights of 3 bits"
    assert found["W2A8"]["reason"].startswith("ended with 7")


def test_the_judge_compares_with_labels_that_the_script_never_saw(bench, laid_out):
    right = {way: by_width(bench, laid_out, way)["W8A8"]["right"] for way in ("straight", "turned")}
    assert bench.unpacked(right["straight"], N).sum() == N - 10
    assert bench.unpacked(right["turned"], N).sum() == 10
    assert set(json.loads((laid_out[0] / "job.json").read_text())["0"]) == {
        *("way", "draw", "weight_bits", "activation_bits"),
    }


def test_bytes_of_a_file_are_told_apart(bench, laid_out):
    found = by_width(bench, laid_out)["W8A8"]["bytes"]
    size = (laid_out[0] / "network.onnx").stat().st_size
    # Nine weights of 4 bits, three scales of 32.
    assert found == {"file": size, "weights": 5, "overhead": size - 5, "numbers": 12}


def test_a_script_that_cannot_start_is_not_started_again(bench, laid_out):
    (bench.SCRIPTS / "fake.py").write_text("import there_is_no_such_module\n")
    found = by_width(bench, laid_out)
    assert {result["state"] for result in found.values()} == {"failed"}
    assert all("there_is_no_such_module" in result["reason"] for result in found.values())


def test_a_peer_with_another_network_is_refused(bench, laid_out):
    folder, original = laid_out
    other = Predictions(original.ids, original.outputs + 0.1, original.targets)
    with pytest.raises(ValueError, match=r"differ by 0\.1"):
        by_width(bench, (folder, other))


def test_the_plain_network_computes_what_ours_computes(bench, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(BENCH / "peers"))
    network = importlib.import_module("network")
    torch.manual_seed(0)
    ours = ResNet().compose((3, 32, 32), 10).eval()
    for norm in ours.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    np.savez(tmp_path / "n.npz", **{name: t.numpy() for name, t in ours.state_dict().items()})
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network.opened(tmp_path / "n.npz")(x), ours(x))


def test_what_scripts_read_is_the_network_and_calibration_images_without_labels(bench, tmp_path):
    bundle, data = _TINY
    subject = Subject(bundle, data, "validation", "unseen", 0)
    bench.lay_out(tmp_path, subject, [0, 1])
    first, second = (np.load(tmp_path / f"calibration-{draw}.npy") for draw in (0, 1))
    assert first.shape[1:] == bundle.spec.shape
    assert not np.array_equal(first, second)
    with np.load(tmp_path / "network.npz") as state:
        assert set(state) == set(bundle.module.state_dict())
    assert len(np.load(tmp_path / "images.npy")) == subject.data.parts["test"]


def test_requirements_are_exact_and_bring_no_gpu(monkeypatch, own_home):
    monkeypatch.syspath_prepend(str(BENCH))
    bench = importlib.import_module("peers")
    for peer in bench.PEERS.values():
        assert (BENCH / "peers" / f"{peer.script}.py").is_file()
        assert all("==" in requirement for requirement in peer.requirements)
        assert all(r == bench.TORCH for r in peer.requirements if r.startswith("torch="))
    assert bench.TORCH.endswith("+cpu")


def test_the_documented_table_is_that_of_the_results(monkeypatch, own_home):
    monkeypatch.syspath_prepend(str(BENCH))
    bench = importlib.import_module("peers")
    text = bench.table(bench.read(), bench.quantize.read())
    assert bench.documented("peers", text) == bench.DOCS.read_text(encoding="utf-8")


def cells(bench, way, width, *wrong):
    """Results of as many draws, wrong about so many samples of 1,000."""
    found = {}
    for draw, count in enumerate(wrong):
        cell = bench.Cell("Fake", way, width, draw)
        found[cell.key] = {"state": "done", "right": bench.packed(np.arange(1000) >= count)}
    return found


def peer_results(bench, found):
    original = {"n": 1000, "right": bench.packed(np.ones(1000, bool))}
    return {**bench.read(), "original": original, "cells": found}


def own_results(bench, width, *wrong):
    original = {"n": 1000, "right": bench.packed(np.ones(1000, bool))}
    keys = [bench.quantize.key_of(width, bench.OURS[width], draw) for draw in range(len(wrong))]
    right = [bench.packed(np.arange(1000) >= count) for count in wrong]
    return {
        "original": original,
        "cells": {key: {"right": r} for key, r in zip(keys, right, strict=True)},
    }


def test_a_loss_of_ours_stands_in_the_table(bench):
    results = peer_results(bench, cells(bench, "straight", "W4A8", 20, 20))
    own = own_results(bench, "W4A8", 60, 60)
    text = bench.table(results, own)
    assert "| Fake, straight | not run | -2.00 (" in text
    assert "-4.00 (-5." in text
    assert "- W4A8: of 1 ways of peers that have it, ours is better than 0, worse than 1" in text
    assert "(Fake, straight)" in text


def test_only_draws_that_both_have_are_compared(bench):
    results = peer_results(bench, cells(bench, "straight", "W8A8", 20, 500))
    gain, *_ = bench.against(results, own_results(bench, "W8A8", 10), "Fake", "straight", "W8A8")
    assert gain == pytest.approx(1.0)


@pytest.mark.parametrize("state", ["not offered", "does not install", "failed"])
def test_what_gave_no_outputs_is_no_win(bench, state):
    key = bench.Cell("Fake", "turned", "W8A8", 0).key
    results = peer_results(bench, {key: {"state": state, "reason": "so it is"}})
    text = bench.table(results, own_results(bench, "W8A8", 10))
    assert f"| Fake, turned | {state} |" in text
    assert f"- Fake, turned, W8A8: {state}: so it is" in text
    assert "- W8A8: of 0 ways" in text


def test_a_changed_script_makes_other_cells_but_a_comment_does_not(bench):
    cell = bench.Cell("Fake", "straight", "W8A8", 0)
    before, script = cell.key, bench.SCRIPTS / "fake.py"
    script.write_text(f"# what it does\n{SCRIPT}")
    assert cell.key == before
    script.write_text(SCRIPT.replace("images[:, ::-1]", "images * 2"))
    assert cell.key != before
