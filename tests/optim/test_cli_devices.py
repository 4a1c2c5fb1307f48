"""The commands about devices: list, show, predict, sweet-spot, saturation."""

import csv
import json
import sys

import pytest

from optim.cli import main
from optim.recipe import Recipe
from optim.sweet_spot import measuring
from optim.techniques.quantize import Quantize
from tests.optim.test_cli import obeys_schema

OWN = """
bench-board:
  title: Bench board
  device_class: sbc
  chip: Two cores
  ram_bytes: 1000000
  runtimes: [{name: ONNX Runtime CPU, precisions: [fp32]}]
  sources: {Its manual: [ram_bytes]}
"""


@pytest.fixture
def optim(monkeypatch, capsys):
    """Return a function that runs a command line: ``(exit code, stdout, stderr)``."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["optim", "devices", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return run


def test_devices_are_listed(optim):
    code, text, _ = optim("list", "--json")
    found = json.loads(text)
    assert code == 0
    assert obeys_schema(found)
    assert len(found["devices"]) >= 34
    assert "raspberry-pi-4" in optim("list")[1]


def test_a_device_is_shown_with_its_sources(optim):
    code, text, _ = optim("show", "nucleo-l4r5zi")
    assert code == 0
    assert "MLPerf Tiny" in text
    assert "not known" in text
    found = json.loads(optim("show", "nucleo-l4r5zi", "--json")[1])
    assert obeys_schema(found)
    assert found["devices"][0]["flash_bytes"] == 2_097_152


def test_a_device_of_a_file_says_what_it_lacks(optim, tmp_path):
    (tmp_path / "own.yaml").write_text(OWN)
    code, text, _ = optim("show", "bench-board", "--file", tmp_path / "own.yaml")
    assert code == 0
    assert "Bench board: peak rate, bandwidth, process not known" in text


def test_an_unknown_device_is_refused(optim):
    code, _, error = optim("show", "abacus")
    assert code == 2
    assert "got 'abacus'" in error


def test_rows_are_predicted_in_their_order(optim, tmp_path):
    rows, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    rows.write_text(
        "device,device_class,runtime,precision,macs,params\n"
        "RTX 4090 (timm),desktop_gpu,pytorch2.4-eager,amp_fp16,4e9,25e6\n"
        "NUCLEO-L4R5ZI @ 120 MHz,mcu,,int8,7e6,200000\n"
        ",,,,,\n"
    )
    code, text, _ = optim("predict", "--csv", rows, "--out", out)
    assert code == 0
    assert "3 rows" in text
    with out.open() as file:
        found = list(csv.DictReader(file))
    assert len(found) == 3
    assert float(found[0]["latency_ms"]) < float(found[1]["latency_ms"])
    assert found[2]["validated"] == "0"


def test_a_bad_file_is_one_sentence(optim, tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text("macs\nplenty\n")
    code, _, error = optim("predict", "--csv", rows, "--out", tmp_path / "out.csv")
    assert code == 2
    assert "line 2: macs must be a number or blank: got 'plenty'" in error
    assert not (tmp_path / "out.csv").exists()
    assert optim("predict", "--csv", tmp_path / "none.csv", "--out", rows)[0] == 2


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A recipe file; few blocks are measured of it."""
    monkeypatch.setattr(measuring, "_ROUNDS", (7, 7))
    monkeypatch.setattr(measuring, "BATCHES", (1, 4))
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # and not beyond the test
    path = tmp_path / "recipe.yaml"
    path.write_text(Recipe("breast-cancer-mlp", "breast-cancer").to_yaml())
    return path


def test_the_sweet_spot_of_a_recipe_is_measured(optim, recipe):
    chosen = ("--runtime", "openvino", "--runtime", "onnx", "--threads", 1)
    code, text, _ = optim("sweet-spot", recipe, *chosen, "--json")
    found = json.loads(text)
    assert code == 0
    assert obeys_schema(found)
    assert [(c["runtime"], c["batch"]) for c in found["cells"]] == [
        (runtime, batch) for batch in (1, 4) for runtime in ("onnx", "openvino")
    ]
    levels = [one["level"] for one in found["fusion"]["measured"]]
    assert levels[:4] == ["off", "basic", "extended", "all"]
    assert found["max_ms"] is None
    assert found["best"]["throughput"]["value"] == max(
        c["throughput"]["value"] for c in found["cells"]
    )


def test_settings_slower_than_the_limit_are_said_to_be(optim, recipe):
    chosen = ("--runtime", "onnx", "--threads", 1, "--max-ms", 1e-6)
    code, text, _ = optim("sweet-spot", recipe, *chosen)
    assert code == 0
    assert text.count("too slow") == 2
    assert "Extended" in text
    assert "best" not in text
    assert json.loads(optim("sweet-spot", recipe, *chosen, "--json")[1])["best"] is None


def test_a_runtime_that_nobody_knows_is_refused(optim, recipe):
    code, _, error = optim("sweet-spot", recipe, "--runtime", "tflite")
    assert code != 0
    assert "runtimes must be some of onnx, openvino, compile" in error


@pytest.fixture
def eight_bits(tmp_path):
    path = tmp_path / "eight.yaml"
    recipe = Recipe("breast-cancer-mlp", "breast-cancer").with_step(Quantize(samples=32))
    path.write_text(recipe.to_yaml())
    return path


def test_sums_of_16_bits_stand_beside_those_of_32(optim, eight_bits):
    code, text, _ = optim("saturation", eight_bits, "--samples", 64, "--json")
    found = json.loads(text)
    assert code == 0
    assert obeys_schema(found)
    assert found["samples"] == 64
    assert found["exact"]["how"] == found["reduced"]["how"] == "simulated"
    assert any(found["at_risk"].values())
    text = optim("saturation", eight_bits)[1]
    assert "16 bits: x86 without them" in text
    assert "either, weights of reduced range" in text


def test_a_model_in_floating_point_has_no_sums_to_saturate(optim, recipe):
    code, text, notes = optim("saturation", recipe)
    assert code == 0
    assert "reduced range" not in text
    assert "nothing saturates" in notes
