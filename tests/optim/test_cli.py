"""The command line: what it prints, what it writes, and the exit codes scripts rely on."""

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import onnx
import pytest
from jsonschema import Draft202012Validator
from PIL import Image
from rich.console import Console

from optim import __version__
from optim.cli import main
from optim.data import open_data
from optim.export.targets import TARGETS
from optim.export.verify import Verification
from optim.models.architecture import Architecture
from optim.models.bundle import ModelBundle, Provenance, TorchModel
from optim.models.checkpoint import load_checkpoint, save_checkpoint
from optim.models.mlp import MLP
from optim.models.open import open_model
from optim.recipe import Recipe
from optim.train import Schedule, classification_loss, fit
from tests.optim.models.convert.graphs import graph, node, values

ROOT = Path(__file__).resolve().parents[2]
RECIPE = """\
version: 1
model: wine.safetensors
data: wine
steps:
  - prune_channels: {pruning_ratio: 0.25}
  - quantize: {weight_bits: 8, activation_bits: 8}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a trained model of the wine data and a recipe for it."""
    import torch

    folder = tmp_path_factory.mktemp("cli")
    data = open_data("wine")
    architecture: Architecture = MLP(width=16)
    module = architecture.build(data.input_shape, data.task.n_classes, 0)
    train = data.part("train")
    spec = architecture.spec.__class__(data.input_shape)
    fit(
        module,
        spec.normalise(train.inputs),
        torch.from_numpy(train.targets.copy()),
        classification_loss(),
        Schedule(epochs=25, batch_size=16, learning_rate=0.02),
        generator=torch.Generator().manual_seed(0),
    )
    bundle = ModelBundle(
        "wine", TorchModel(module, architecture), spec, data.task, Provenance("test", seen=())
    )
    save_checkpoint(bundle, folder / "wine.safetensors")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return folder


@pytest.fixture
def optim(folder, monkeypatch, capsys):
    """Return a function that runs a command line: ``(exit code, stdout, stderr)``."""
    monkeypatch.chdir(folder)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["optim", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return run


def obeys_schema(content):
    name, version = content["schema"].removeprefix("optim.").split("/")
    schema = json.loads((ROOT / f"docs/schemas/{name}-{version}.json").read_text())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(closed(schema))
    return [error.message for error in validator.iter_errors(content)] == []


def closed(schema):
    """Return a schema that allows no key it does not describe: every key we write is documented."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "type" in schema:
        inner.setdefault("additionalProperties", False)
    return inner


def test_a_card_says_what_a_model_is(optim):
    code, text, _ = optim("card", "wine.safetensors")
    assert code == 0
    assert "classification, 3 classes" in text
    code, text, _ = optim("card", "wine.safetensors", "--data", "wine", "--json")
    assert code == 0
    assert obeys_schema(json.loads(text))


def test_the_card_of_a_file_says_what_was_found(optim, tmp_path):
    model = graph(node("Conv", "x w"), (3, 6, 5), w=values(2, 3, 1, 1))
    (tmp_path / "map.onnx").write_bytes(model.SerializeToString())
    code, text, _ = optim("card", tmp_path / "map.onnx", "--json")
    found = json.loads(text)
    assert (code, found["outputs"]["guess"]) == (0, "dense")
    assert obeys_schema(found)
    code, text, _ = optim("card", f"{tmp_path / 'map.onnx'}?task=regression")
    assert code == 2
    code, text, _ = optim("card", f"{tmp_path / 'map.onnx'}?tusk=regression")
    assert code == 2


@pytest.mark.parametrize("command", ["models", "data", "techniques"])
def test_lists_are_tables_for_people_and_json_for_programs(optim, command):
    code, text, _ = optim(command)
    assert code == 0
    assert len(text.splitlines()) > 3
    code, text, _ = optim(command, "--json")
    assert code == 0
    assert obeys_schema(json.loads(text))


def test_measure_prints_quantities_with_stable_keys(optim):
    code, text, _ = optim("measure", "wine.safetensors", "--data", "wine", "--json")
    found = json.loads(text)
    assert code == 0
    assert obeys_schema(found)
    assert set(found["accuracy"]) == {"value", "low", "high", "n", "unit", "how"}
    assert found["accuracy"]["n"] == 35
    assert found["accuracy"]["low"] <= found["accuracy"]["value"] <= found["accuracy"]["high"]


def test_another_part_is_measured_when_asked_for(optim):
    _, text, _ = optim("measure", "wine.safetensors", "--data", "wine", "--part", "test", "--json")
    assert json.loads(text)["accuracy"]["n"] == 36


def test_wrong_normalisation_changes_the_accuracy(optim):
    command = ("measure", "wine.safetensors", "--data", "wine", "--json")
    _, right, _ = optim(*command)
    _, wrong, _ = optim(*command, "--mean", "100", "--std", "0.01")
    assert json.loads(wrong)["accuracy"]["value"] < json.loads(right)["accuracy"]["value"]


def test_run_writes_its_four_files_and_verify_reads_the_model(optim, tmp_path):
    code, text, _ = optim("run", "recipe.yaml", "--out", tmp_path / "out", "--json")
    found = json.loads(text)
    assert code == 0
    assert obeys_schema(found)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"recipe.yaml", "scorecard.json", "model.onnx", "report.txt"}
    assert json.loads((tmp_path / "out/scorecard.json").read_text()) == found
    onnx.checker.check_model(onnx.load(tmp_path / "out/model.onnx"))
    assert "same 35 samples" in (tmp_path / "out/report.txt").read_text()
    code, text, _ = optim("verify", tmp_path / "out/model.onnx", "--data", "wine", "--json")
    verified = json.loads(text)
    assert code == 0
    assert obeys_schema(verified)
    assert verified["accuracy"]["value"] == pytest.approx(
        found["verification"]["accuracy"]["value"]
    )
    assert verified["bytes"]["value"] == (tmp_path / "out/model.onnx").stat().st_size


@pytest.mark.parametrize("target", ["onnx_float", "bundle"])
def test_export_writes_a_file_that_was_verified(optim, tmp_path, target):
    file = tmp_path / f"model{TARGETS[target].suffix}"
    code, text, _ = optim("export", "recipe.yaml", "--target", target, "--out", file, "--json")
    found = json.loads(text)
    assert code == 0
    assert obeys_schema(found)
    assert found["bytes"] == file.stat().st_size
    assert found["verification"]["passed"]


def test_export_says_where_a_file_was_measured(optim, tmp_path):
    code, text, _ = optim("export", "recipe.yaml", "--out", tmp_path / "model.onnx")
    assert code == 0
    assert "In ONNX Runtime" in text
    assert "for one sample on one thread" in text


def test_export_writes_nothing_that_cannot_be_honoured(optim, folder, tmp_path):
    plain = folder / "plain.yaml"
    plain.write_text("version: 1\nmodel: wine.safetensors\ndata: wine\nsteps: []\n")
    code, _, error = optim("export", plain, "--target", "c", "--out", tmp_path / "c.zip")
    assert code == 1
    assert "input is not quantized" in error
    assert not (tmp_path / "c.zip").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["measure", "nosuch", "--data", "wine"], "no model or file", id="model"),
        pytest.param(["measure", "mlp", "--data", "nosuch"], "no data set", id="data"),
        pytest.param(["measure", "mlp", "--data", "wine", "--part", "all"], "part=", id="part"),
        pytest.param(
            ["measure", "mlp", "--data", "wine", "--mean", "a,b", "--std", "1"], "'a,b'", id="mean"
        ),
        pytest.param(["measure", "mlp", "--data", "wine", "--mean", "1"], "--std", id="no std"),
        pytest.param(
            ["measure", "mlp", "--data", "wine", "--mean", "nan", "--std", "1"], "'nan'", id="nan"
        ),
        pytest.param(
            ["measure", "mlp", "--data", "wine", "--save-baseline", "b.txt"],
            ".json",
            id="baseline's name",
        ),
        pytest.param(
            ["measure", "mlp", "--data", "wine", "--save-baseline", "recipe.yaml/b.json"],
            "'recipe.yaml' cannot be used",
            id="baseline's folder",
        ),
        pytest.param(["run", "recipe.yaml", "--out", "recipe.yaml"], "cannot be used", id="out"),
        pytest.param(
            ["check", "mlp", "--data", "wine", "--against", "no.json"], "'no.json'", id="baseline"
        ),
        pytest.param(["pretrain", "gpt"], "clutter-resnet8", id="plan"),
        pytest.param(["pretrain", "gpt", "--students"], "'gpt'", id="students"),
        pytest.param(["add-data", ".", "--copy"], "takes a file", id="copy of a folder"),
        pytest.param(["add-model", "nosuch", "--data", "wine"], "'", id="model to add"),
        pytest.param(["measure"], "model", id="usage"),
        pytest.param(["run", "nosuch.yaml", "--out", "o"], "'nosuch.yaml'", id="recipe"),
        pytest.param(
            ["export", "recipe.yaml", "--target", "tflite", "--out", "m.tflite"],
            "target must be one of onnx",
            id="target",
        ),
        pytest.param(
            ["export", "recipe.yaml", "--target", "c", "--out", "m.onnx"],
            "ends in .zip",
            id="suffix",
        ),
        pytest.param(["verify", "wine.safetensors", "--data", "wine"], "ONNX", id="not onnx"),
        pytest.param(["measure", "resnet8", "--data", "wine"], "shape", id="shape"),
    ],
)
def test_unusable_input_is_a_sentence_and_exit_code_2(optim, arguments, words):
    code, text, error = optim(*arguments)
    assert code == 2
    assert text == ""
    assert words in error
    assert "Traceback" not in error


def test_the_hint_stands_below_the_error(optim):
    _, _, error = optim("measure", "clutter-resnet9", "--data", "wine")
    first, second = error.splitlines()
    assert first == "optim: There is no model or file 'clutter-resnet9'."
    assert second.strip().startswith("Did you mean clutter-resnet8")


def test_an_interrupt_is_quiet(optim, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("optim.models.cards.model_cards", interrupted)
    assert optim("models") == (130, "", "")


def test_a_defect_is_one_sentence_and_no_regression(optim, monkeypatch):
    def broken():
        raise IndexError("pop from an empty list")

    monkeypatch.delenv("OPTIM_DEBUG", raising=False)
    monkeypatch.setattr("optim.models.cards.model_cards", broken)
    code, text, error = optim("models")
    assert (code, text) == (70, "")
    assert "defect of Optim Studio: IndexError: pop from an empty list." in error
    assert "Traceback" not in error
    monkeypatch.setenv("OPTIM_DEBUG", "1")
    code, _, error = optim("models")
    assert code == 70
    assert "Traceback" in error


def test_a_failed_result_is_exit_code_1_and_still_json(optim, tmp_path, monkeypatch):
    monkeypatch.setattr(Verification, "problem", "It differs.")
    code, text, error = optim("run", "recipe.yaml", "--out", tmp_path / "out", "--json")
    assert code == 1
    assert json.loads(text)["verification"]["passed"] is False
    assert "It differs." in error
    assert not (tmp_path / "out" / "model.onnx").exists()


def test_a_model_nobody_declared_is_noted_beside_the_figures(optim, folder):
    import torch

    torch.save(MLP().build((13,), 3).state_dict(), folder / "w.pt")
    code, text, error = optim("measure", "mlp:w.pt", "--data", "wine")
    assert code == 0
    assert "35 samples of validation" in text
    assert error.startswith("Note: nobody declared which samples the model was trained on")
    _, text, _ = optim("measure", "mlp:w.pt", "--data", "wine", "--json")
    assert json.loads(text)["overlap"] == "unknown"


def test_progress_is_shown_on_a_terminal_and_nowhere_else(optim, monkeypatch):
    _, _, error = optim("measure", "wine.safetensors", "--data", "wine", "--json")
    assert error == ""
    screen = StringIO()
    monkeypatch.setattr("optim.cli._output.STDERR", Console(file=screen, force_terminal=True))
    code, text, _ = optim("measure", "wine.safetensors", "--data", "wine", "--json")
    assert code == 0
    assert json.loads(text)["schema"] == "optim.measure/1"
    assert "done" in screen.getvalue()


def test_help_and_version(optim):
    code, text, _ = optim("--help")
    assert code == 0
    for command in (
        "models",
        "measure",
        "run",
        "export",
        "verify",
        "check",
        "pretrain",
        "prepare",
        "app",
    ):
        assert f"  {command} " in text
    assert optim("--version") == (0, f"{__version__}\n", "")


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "optim", "techniques", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert obeys_schema(json.loads(done.stdout))


def test_the_application_needs_a_source_tree(optim, monkeypatch, tmp_path):
    monkeypatch.setattr("optim.cli.operating.APP", tmp_path / "app.py")
    code, _, error = optim("app")
    assert code == 2
    assert "not part of the installed library" in error


def test_the_application_is_started_at_its_port(optim, monkeypatch):
    started = []

    def start(command, **options):
        started.append((command[1:], options["cwd"]))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", start)
    code, _, _ = optim("app", "--port", 9000)
    assert code == 0
    assert started == [(["-m", "streamlit", "run", "app.py", "--server.port", "9000"], ROOT)]


@pytest.mark.usefixtures("own_home")
def test_what_is_added_is_listed(optim, folder):
    import torch

    torch.save(MLP().build((13,), 3).state_dict(), folder / "w.pt")
    named = ("--data", "wine", "--architecture", "mlp", "--name", "my-wine")
    assert optim("add-model", "w.pt", *named) == (0, "my-wine\n", "")
    _, text, _ = optim("models", "--json")
    assert "my-wine" in [card["name"] for card in json.loads(text)["trained"]]
    with zipfile.ZipFile(folder / "images.zip", "w") as images:
        for name in ("ash/1.png", "ash/2.png", "birch/1.png", "birch/2.png"):
            image = BytesIO()
            Image.new("RGB", (8, 8)).save(image, "PNG")
            images.writestr(name, image.getvalue())
    assert optim("add-data", "images.zip", "--name", "trees") == (0, "trees\n", "")
    _, text, _ = optim("data", "--json")
    assert "trees" in [card["name"] for card in json.loads(text)["data"]]


def test_pretrain_writes_weights_and_a_card(optim, tmp_path, monkeypatch):
    from optim.pretrain import PLANS

    quick = replace(PLANS["wine-mlp"], schedule=Schedule(epochs=1, batch_size=16))
    monkeypatch.setitem(PLANS, "wine-mlp", quick)
    code, text, _ = optim("pretrain", "wine-mlp", "--out", tmp_path)
    assert code == 0
    assert "wine-mlp.json: validation" in text
    assert {p.name for p in (tmp_path / "models").iterdir()} == {
        "wine-mlp.json",
        "wine-mlp.safetensors",
    }


def test_students_are_those_of_the_default_model_unless_one_is_named(optim, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "optim.pretrain.pretrain_students", lambda name, folder, **kw: asked.append((name, folder))
    )
    optim("pretrain", "--students", "--out", tmp_path)
    optim("pretrain", "--students", "wine-mlp", "--out", tmp_path)
    assert asked == [(name, tmp_path / "students") for name in ("clutter-resnet8", "wine-mlp")]


def test_a_recipe_with_an_unknown_step_is_refused(optim, folder):
    (folder / "bad.yaml").write_text(RECIPE.replace("quantize", "quantise"), encoding="utf-8")
    code, _, error = optim("run", "bad.yaml", "--out", "out")
    assert code == 2
    assert "quantise" in error


def test_check_holds_for_the_same_model_and_writes_reports(optim, tmp_path):
    baseline = tmp_path / "baseline.json"
    optim("measure", "wine.safetensors", "--data", "wine", "--save-baseline", baseline)
    content = json.loads(baseline.read_text())
    assert obeys_schema(content)
    code, text, _ = optim(
        *("check", baseline.with_suffix(".onnx"), "--data", "wine", "--against", baseline),
        *("--max-loss-points", 10, "--max-bytes", 1_000_000, "--max-latency-ratio", 100),
        *("--junit", tmp_path / "j.xml", "--markdown", tmp_path / "m.md", "--json"),
    )
    assert code == 0
    assert obeys_schema(json.loads(text))
    assert 'failures="0"' in (tmp_path / "j.xml").read_text()
    assert "holds" in (tmp_path / "m.md").read_text()


def test_check_tells_a_regression_from_a_sample_that_is_too_small(optim, tmp_path):
    baseline = tmp_path / "baseline.json"
    optim("measure", "wine.safetensors", "--data", "wine", "--save-baseline", baseline)
    against = ("--data", "wine", "--against", baseline)
    code, _, _ = optim("check", "mlp", *against, "--max-loss-points", 1)
    assert code == 1
    code, text, _ = optim("check", "wine.safetensors", *against, "--max-loss-points", 0.01)
    assert code == 3
    assert "inconclusive" in text


def test_check_matches_samples_by_id_whatever_the_order(optim, tmp_path):
    baseline = tmp_path / "baseline.json"
    optim("measure", "wine.safetensors", "--data", "wine", "--save-baseline", baseline)
    content = json.loads(baseline.read_text())
    ids = open_data("wine").part("validation").ids
    assert set(content["wrong"]) <= set(ids.tolist())
    _, text, _ = optim(
        *("check", "wine.safetensors", "--data", "wine", "--against", baseline, "--json")
    )
    found = json.loads(text)["criteria"][0]["found"]
    assert (found["value"], found["n"]) == (0.0, 35)


def test_check_measures_the_samples_of_the_baseline(optim, tmp_path):
    baseline = tmp_path / "baseline.json"
    measured = ("measure", "wine.safetensors", "--data", "wine", "--part", "test")
    optim(*measured, "--save-baseline", baseline)
    _, text, _ = optim(
        *("check", "wine.safetensors", "--data", "wine", "--against", baseline, "--json")
    )
    found = json.loads(text)
    assert (found["part"], found["accuracy"]["n"]) == ("test", 36)
    assert found["exit_code"] == 3


def test_check_cannot_say_anything_about_a_file_it_cannot_load(optim, tmp_path):
    """Exit code 1 would call it a regression."""
    baseline = tmp_path / "baseline.json"
    optim("measure", "wine.safetensors", "--data", "wine", "--save-baseline", baseline)
    (tmp_path / "broken.onnx").write_bytes(b"onnx")
    code, text, error = optim(
        *("check", tmp_path / "broken.onnx", "--data", "wine", "--against", baseline, "--json")
    )
    assert (code, text) == (2, "")
    assert "broken.onnx" in error


def test_check_refuses_a_baseline_of_other_data(optim, tmp_path):
    baseline = tmp_path / "baseline.json"
    optim("measure", "wine.safetensors", "--data", "wine", "--save-baseline", baseline)
    code, _, error = optim("check", "mlp", "--data", "breast-cancer", "--against", baseline)
    assert code == 2
    assert "other data" in error


def test_prepare_makes_the_default_data_and_prints_nothing(optim, monkeypatch):
    made = []
    monkeypatch.setattr("optim.data.dataset.Dataset.part", lambda self, part: made.append(part))
    monkeypatch.setattr("optim.lessons.kept.compute", lambda names, told: made.extend(names))
    assert optim("prepare")[:2] == (0, "")
    assert made == ["train", "validation", "test", "tour"]


@pytest.mark.slow
def test_the_published_resnet20_has_its_published_accuracy(optim, shared):
    code, text, _ = optim(
        *("measure", f"resnet20:{shared('weights/resnet20.th')}"),
        *("--data", shared("cifar10/test.zip"), "--json"),
    )
    found = json.loads(text)["accuracy"]
    assert code == 0
    assert found["n"] == 10_000
    assert np.isclose(found["value"], 0.8103, atol=0.0005)


@pytest.fixture
def wine_files(folder):
    """The wine data in files of several formats, as the model of the folder takes them."""
    samples = open_data("wine").part("test")
    x, y = np.asarray(samples.inputs), np.asarray(samples.targets)
    np.savez(folder / "wine.npz", x=x, y=y)
    np.savez(folder / "bare.npz", x=x)
    np.savez(folder / "turned.npz", x=x, y=(y + 1) % 3)
    np.savez(folder / "named.npz", x=x, y=y * 0, kind=y)
    return folder


@pytest.mark.parametrize("data", ["wine.npz", "named.npz?target=kind"])
def test_a_file_of_arrays_is_measured_like_the_data_it_came_from(optim, wine_files, data):
    code, text, err = optim("measure", "wine.safetensors", "--data", data, "--json")
    assert (code, err) == (0, "")
    found = json.loads(text)
    assert obeys_schema(found)
    assert (found["part"], found["accuracy"]["n"]) == ("all", 36)
    _, text, _ = optim("measure", "wine.safetensors", "--data", "wine", "--part", "test", "--json")
    assert found["accuracy"]["value"] == json.loads(text)["accuracy"]["value"]
    assert "checks" not in found


def test_without_labels_a_model_is_compared_with_its_original(optim, wine_files):
    arguments = ("measure", "wine.safetensors", "--data", "bare.npz")
    code, text, _ = optim(*arguments)
    assert code == 0
    assert "not measured" in text
    code, text, _ = optim(*arguments, "--original", "wine.safetensors", "--json")
    found = json.loads(text)
    assert obeys_schema(found)
    assert (found["accuracy"], found["primary"]) == (None, "agreement")
    assert found["agreement"]["value"] == 1.0
    assert found["original"] == "wine.safetensors"


def test_no_data_at_all_means_inputs_made_for_the_model(optim):
    code, text, err = optim("measure", "wine.safetensors")
    assert code == 0
    assert "not measured" in text
    assert "batch norm" in err
    code, text, _ = optim("measure", "wine.safetensors", "--data", "generated?samples=32", "--json")
    found = json.loads(text)
    assert obeys_schema(found)
    assert (found["accuracy"], found["overlap"], found["part"]) == (None, "unseen", "all")
    code, text, err = optim("measure", "wine.safetensors", "--mean", "1", "--std", "1")
    assert code == 2
    assert "generated inputs are made as the model takes them" in err


def test_a_recipe_without_data_runs_and_is_judged_by_agreement(optim, folder):
    recipe = RECIPE.replace("data: wine\n", "")
    (folder / "bare.yaml").write_text(recipe, encoding="utf-8")
    code, text, _ = optim("run", "bare.yaml", "--out", "bare", "--json")
    assert code == 0
    found = json.loads(text)
    assert obeys_schema(found)
    assert found["result"]["primary"] == "agreement"
    assert found["change"]["accuracy"] is None
    assert "agrees with the original on" in found["verdict"]
    assert any("nputs are" in note for note in found["notes"])
    assert (folder / "bare" / "model.onnx").is_file()
    code, text, _ = optim("verify", "bare/model.onnx", "--json")
    assert code == 0
    assert obeys_schema(json.loads(text))


def test_a_gate_without_labels_needs_the_baselines_file(optim, folder, wine_files):
    data = ("--data", "bare.npz")
    code, *_ = optim("measure", "wine.safetensors", *data, "--save-baseline", "bare.json")
    assert code == 0
    assert obeys_schema(json.loads((folder / "bare.json").read_text()))
    check = ("check", "bare.onnx", *data, "--against", "bare.json", "--max-loss-points", "20")
    code, text, _ = optim(*check, "--json")
    assert code == 0
    found = json.loads(text)
    assert obeys_schema(found)
    assert found["criteria"][0]["name"] == "agreement"
    (folder / "bare.onnx").rename(folder / "moved.onnx")
    code, _, err = optim("check", "moved.onnx", *data, "--against", "bare.json")
    assert code == 2
    assert "the baseline's ONNX file 'bare.onnx' is not beside it" in err
    code, _, err = optim("measure", "wine.safetensors", "--save-baseline", "made.json")
    assert code == 2
    assert "samples that stay the same" in err


def test_a_gate_for_quantities_asks_for_the_error_and_not_for_the_same_outputs(optim, folder):
    x = np.random.default_rng(0).standard_normal((200, 4), np.float32)
    np.savez("heights.npz", x=x, y=x @ np.float32([1, 2, 3, 4]) + 0.05)
    weights = {"poor": [1, 2, 0, 0], "good": [1, 2, 3, 3.99], "worse": [0.9, 1.8, 0, -1]}
    for name, rows in weights.items():
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])],
            "g",
            [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 4])],
            [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 1])],
            [onnx.numpy_helper.from_array(np.float32(rows)[:, None], "w")],
        )
        opsets = [onnx.helper.make_opsetid("", 17)]
        onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), f"{name}.onnx")
    data = ("--data", "heights.npz")
    assert optim("measure", "poor.onnx", *data, "--save-baseline", "base.json")[0] == 0
    for name, code, outcome in (("good", 0, "holds"), ("worse", 1, "regressed")):
        found = optim("check", f"{name}.onnx", *data, "--against", "base.json", "--json")
        assert found[0] == code
        assert obeys_schema(json.loads(found[1]))
        (criterion,) = json.loads(found[1])["criteria"]
        assert (criterion["name"], criterion["outcome"]) == ("mse", outcome)
    loose = ("--against", "base.json", "--max-loss-points", "100")
    assert optim("check", "worse.onnx", *data, *loose)[0] == 0


def test_near_chance_says_what_to_check(optim, wine_files):
    arguments = ("measure", "wine.safetensors", "--data", "turned.npz")
    code, text, err = optim(*arguments)
    assert code == 0
    assert "Accuracy is near chance. What to check:" in err
    assert "If the classes were numbered as the answers suggest" in err
    _, text, err = optim(*arguments, "--json")
    assert "Accuracy is near chance" in err
    found = json.loads(text)
    assert obeys_schema(found)
    (order,) = [check for check in found["checks"] if check["name"] == "label order"]
    names = ",".join(order["options"]["class_names"])
    _, text, _ = optim(*arguments[:3], f"turned.npz?class_names={names}", "--json")
    assert json.loads(text)["accuracy"]["value"] > 0.9


def test_a_model_near_chance_is_not_certified_in_silence(optim, wine_files):
    """A result that loses nothing has shown nothing where the original only guesses."""
    bundle = load_checkpoint("wine.safetensors")
    unknown = replace(bundle, provenance=Provenance("somebody"))  # and no fresh weights
    save_checkpoint(unknown, Path("brought.safetensors"))
    steps = "steps:\n  - quantize: {}\n"
    for name, data in (("turned", "turned.npz"), ("right", "wine")):
        Path(f"{name}.yaml").write_text(
            f"version: 2\nmodel: brought.safetensors\ndata: {data}\n{steps}"
        )
    code, text, _ = optim("run", "turned.yaml", "--out", "out")
    assert code == 0
    assert text == Path("out/report.txt").read_text() + "\nWritten to out.\n"
    assert "Both are near chance, so that nothing is known of what was lost." in text
    assert "Note: Accuracy is near chance. What to check:" in text
    _, text, err = optim("run", "turned.yaml", "--out", "out", "--json")
    found = json.loads(text)
    assert obeys_schema(found)
    assert "label order" in {check["name"] for check in found["checks"]}
    assert "as the answers suggest" in found["notes"][-1]
    assert "as the answers suggest" in err
    _, text, err = optim("export", "turned.yaml", "--out", "m.onnx", "--json")
    assert obeys_schema(json.loads(text))
    assert "label order" in {check["name"] for check in json.loads(text)["checks"]}
    assert "as the answers suggest" in err
    for arguments in (
        ("run", "right.yaml", "--out", "out"),
        ("export", "right.yaml", "--out", "m.onnx"),
    ):
        _, text, err = optim(*arguments, "--json")
        assert "checks" not in json.loads(text)
        assert "near chance" not in text + err


def test_data_with_some_of_the_models_classes_are_never_counted_wrongly_in_silence(
    optim, wine_files
):
    data = open_data("wine")
    samples = data.part("test").take(np.flatnonzero(data.targets("test") > 0))
    names = np.array(data.task.class_names)
    np.savez("two.npz", x=samples.inputs, y=names[samples.targets])
    arguments = ("measure", "wine.safetensors", "--data")
    for more in ((), ("--json",)):
        _, _, err = optim(*arguments, "two.npz", *more)
        assert "'cultivar 2' is taken for 'cultivar 1'" in err
    _, text, err = optim(*arguments, f"two.npz?class_names={','.join(names)}", "--json")
    assert json.loads(text)["accuracy"]["value"] > 0.9
    assert "is taken for" not in err


def test_normalisation_behind_a_file_replaces_the_models(optim, wine_files):
    arguments = ("measure", "wine.safetensors", "--data")
    _, plain, _ = optim(*arguments, "wine.npz", "--json")
    _, moved, _ = optim(*arguments, "wine.npz?mean=5&std=0.2", "--json")
    assert json.loads(plain)["accuracy"]["value"] > json.loads(moved)["accuracy"]["value"] + 0.2


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("wine.npz?target=z", "has no array 'z'; it has x, y"),
        ("wine.npz?colour=red", "has no field 'colour'"),
        ("missing.csv?target=y", "There is no data set, zip or folder 'missing.csv'"),
    ],
)
def test_files_that_cannot_be_measured_are_a_sentence(optim, wine_files, data, words):
    code, text, err = optim("measure", "wine.safetensors", "--data", data)
    assert (code, text) == (2, "")
    assert words in err


@pytest.mark.usefixtures("own_home")
def test_options_are_kept_with_added_data(optim, wine_files):
    code, name, _ = optim("add-data", "named.npz?target=kind", "--name", "own-wine", "--copy")
    assert (code, name) == (0, "own-wine\n")
    _, text, _ = optim("data", "--json")
    assert obeys_schema(json.loads(text))
    (card,) = [card for card in json.loads(text)["data"] if card["name"] == "own-wine"]
    assert (card["n_classes"], card["options"]) == (3, {"target": "kind"})
    code, text, _ = optim("measure", "wine.safetensors", "--data", "own-wine", "--json")
    assert json.loads(text)["accuracy"]["n"] == 36


def test_a_recipe_runs_on_a_table_and_is_found_from_its_folder(optim, wine_files, tmp_path):
    rng = np.random.default_rng(0)
    rows = [[*rng.normal(i % 3, 1, 13).round(3), "abc"[i % 3]] for i in range(90)]
    lines = [",".join([*(f"f{i}" for i in range(13)), "kind"])]
    lines += [",".join(map(str, row)) for row in rows]
    (wine_files / "own.csv").write_text("\n".join(lines))
    recipe = RECIPE.replace("data: wine", "data: own.csv?target=kind")
    (wine_files / "own.yaml").write_text(recipe)
    assert optim("run", "own.yaml", "--out", tmp_path / "out")[0] == 0
    written = Recipe.load(tmp_path / "out" / "recipe.yaml")
    assert open_data(tmp_path / "out" / written.data).parts["validation"] == 18


def test_sensitivity_lists_what_single_layers_can_spare(optim):
    asked = ("sensitivity", "wine.safetensors", "--data", "wine", "--technique", "prune_weights")
    code, text, _ = optim(*asked, "--json")
    assert code == 0
    found = json.loads(text)
    assert obeys_schema(found)
    assert {cell["technique"] for cell in found["cells"]} == {"prune_weights"}
    assert found["part"] == "validation"
    code, text, _ = optim(*asked)
    assert code == 0
    assert found["rows"][0]["layer"] in text
    assert found["settings"] is None
    code, _, error = optim(*asked[:-1], "magic")
    assert code == 2
    assert "must be one of" in error


def test_sensitivity_gives_layers_settings_that_cost_no_more_than_a_common_one(optim):
    asked = ("sensitivity", "wine.safetensors", "--data", "wine", "--common", "0.5")
    code, text, _ = optim(*asked, "--technique", "prune_weights", "--json")
    assert code == 0
    found = json.loads(text)
    assert obeys_schema(found)
    settings = found["settings"]
    assert settings["unit"] == "bytes"
    assert settings["reached"] <= settings["target"]
    step = Recipe.from_json(settings["recipe"]).entries[0].step
    assert step.layers == settings["levels"]
    code, text, _ = optim(*asked, "--technique", "prune_weights")
    assert code == 0
    assert "prune_weights:" in text
    code, _, error = optim(*asked)
    assert code == 2
    assert "one technique" in error
    code, _, error = optim(*asked, "--technique", "prune_weights", "--equal", "taste")
    assert code == 2
    assert "cost, time" in error


def test_sensitivity_measures_what_variants_gain_in_time(optim):
    asked = ("sensitivity", "wine.safetensors", "--data", "wine", "--technique", "prune_channels")
    code, text, _ = optim(*asked, "--times", "--json")
    assert code == 0
    found = json.loads(text)
    assert obeys_schema(found)
    assert all(cell["time"]["unit"] == "x" for cell in found["cells"])


def test_a_model_is_packed_and_unpacked(optim, tmp_path):
    packed, file, again = (tmp_path / name for name in ("a.opack", "a.onnx", "b.opack"))
    assert optim("pack", "wine.safetensors", "--out", packed)[0] == 0
    assert optim("unpack", packed, "--out", file)[0] == 0
    code, out, _ = optim("pack", file, "--out", again)
    assert code == 0
    assert "times smaller than the ONNX file" in out
    assert again.read_bytes() == packed.read_bytes()
    asked = [
        json.loads(optim("measure", name, "--data", "wine", "--json")[1])["accuracy"]
        for name in (packed, file)
    ]
    assert asked[0] == asked[1]


def test_a_damaged_packed_file_ends_in_a_sentence(optim, tmp_path):
    packed = tmp_path / "a.opack"
    optim("pack", "wine.safetensors", "--out", packed)
    packed.write_bytes(packed.read_bytes()[:-1])
    code, _, errors = optim("unpack", packed, "--out", tmp_path / "a.onnx")
    assert code == 2
    assert "checksum" in errors


def test_a_recipe_is_put_in_order(optim, tmp_path):
    file = tmp_path / "recipe.yaml"
    steps = "[reestimate_batchnorm, quantize, prune_channels]"
    file.write_text(f"version: 1\nmodel: wine.safetensors\nsteps: {steps}\n")
    assert optim("run", file)[0] == 2
    code, text, _ = optim("plan", file, "--out", file)
    assert code == 0
    assert text.index("prune_channels") < text.index("reestimate") < text.index("Quantize")
    found = Recipe.load(file)
    assert [e.id for e in found.entries] == ["prune_channels", "reestimate_batchnorm", "quantize"]


def test_inspect_compares_a_recipes_model_with_what_became_of_it(optim):
    code, text, _ = optim("inspect", "recipe.yaml", "--json")
    assert code == 0
    found = json.loads(text)
    assert obeys_schema(found)
    assert found["refused"] == {}
    assert found["part"] == "validation"
    assert found["corruption"]["left_out"].keys() == {"blur", "contrast"}
    assert {row["bits"] for row in found["layers"]["rows"]} == {8}
    assert found["overview"]["n"] == len(open_data("wine").part("validation"))
    code, text, _ = optim("inspect", "recipe.yaml", "--view", "overview", "--view", "samples")
    assert code == 0
    assert "worst class" in text
    assert "get another class" in text
    assert "dead channels" not in text


def test_inspect_compares_two_models(optim):
    asked = ("inspect", "wine.safetensors", "--data", "wine", "--original", "wine.safetensors")
    code, text, _ = optim(*asked, "--view", "overview", "--json")
    assert code == 0
    found = json.loads(text)
    assert obeys_schema(found)
    assert found["overview"]["after"]["agreement"]["value"] == 1
    assert "layers" not in found


def test_inspect_says_what_it_needs(optim):
    for asked, message in (
        (("inspect", "wine.safetensors"), "nothing to be compared with"),
        (("inspect", "recipe.yaml", "--original", "wine.safetensors"), "leave out --original"),
        (("inspect", "recipe.yaml", "--view", "magic"), "view must be one of"),
    ):
        code, _, error = optim(*asked)
        assert code == 2
        assert message in error


def test_views_that_cannot_be_had_are_left_out_with_the_reason(optim):
    asked = ("inspect", "wine.safetensors", "--original", "wine.safetensors")
    code, text, notes = optim(*asked)
    assert code == 0
    assert "corruption was left out: The inputs were made for the model" in notes
    assert "dead channels" in text
    assert optim(*asked, "--view", "corruption")[0] == 2


def test_every_schema_stands_in_the_table_of_the_docs():
    told = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    for path in (ROOT / "docs/schemas").glob("*.json"):
        name = path.stem.rpartition("-")[0]
        assert f"(schemas/{path.name})" in told, path.name
        assert f"`optim.{name}/1`" in told, name


def test_measure_says_how_a_file_was_read_and_nothing_of_data_that_ship(optim, tmp_path):
    lines = [f"{i},5;{i % 7},25;k{i % 2}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["a;b;y", *lines]))
    bundle = open_model("mlp", data=open_data(tmp_path / "t.csv"))
    weights = save_checkpoint(bundle, tmp_path / "m.safetensors")
    code, _, said = optim("measure", weights, "--data", tmp_path / "t.csv")
    assert code == 0
    assert "decimal comma: a, b" in said
    assert "Target: column 'y', guessed." in said
    code, _, said = optim("measure", "wine-mlp", "--data", "wine")
    assert code == 0
    assert "standardised" not in said
