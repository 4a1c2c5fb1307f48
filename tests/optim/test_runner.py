"""Recipes from beginning to end: what is measured, what is written, what is refused."""

import json
from dataclasses import replace

import onnx
import pytest

import optim
from optim.data import open_data, trained_on
from optim.data.splits import overlap_note
from optim.errors import ConfigError, DataError, ExportError, ParityError
from optim.models.bundle import ModelBundle, Provenance, TorchModel
from optim.models.checkpoint import save_checkpoint
from optim.models.input_spec import InputSpec
from optim.models.zoo import ZOO
from optim.quantity import How, Quantity
from optim.recipe import Recipe
from optim.runner import measure_model, relocated, run

RECIPE = """\
version: 1
model: {model}
data: wine
steps:
  - prune_weights: {{sparsity: 0.5}}
  - quantize: {{weight_bits: 8, activation_bits: 8}}
"""


def save_model(path, seen=()):
    """Write a fresh perceptron for the wine data that declares what it has seen."""
    data = open_data("wine")
    spec = InputSpec(data.input_shape)
    content = TorchModel(ZOO["mlp"].build(spec.shape, 3, seed=1).eval(), ZOO["mlp"])
    save_checkpoint(ModelBundle("wine", content, spec, data.task, Provenance("t", seen)), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runner")
    save_model(folder / "wine.safetensors")
    return folder


@pytest.fixture(scope="module")
def result(folder):
    return run(Recipe.from_yaml(RECIPE.format(model="wine.safetensors")), base=folder)


def test_both_models_are_measured_on_the_same_samples(result):
    assert result.baseline.main.n == result.scorecard.main.n == 35
    assert result.quality.change.difference.n == 35
    assert result.subject.part == "validation"


def test_what_is_simulated_and_what_is_measured_are_told_apart(result):
    assert result.baseline.main.how is How.MEASURED
    assert result.scorecard.main.how is How.SIMULATED
    assert result.verification.accuracy.how is How.MEASURED


def test_latency_says_what_it_holds_for(result):
    for card in (result.baseline, result.scorecard):
        assert card.latency.unit == "ms"
        assert card.conditions["runtime"].startswith("ONNX Runtime")
        assert (card.conditions["batch_size"], card.conditions["threads"]) == (1, 1)


def test_every_step_reports(result):
    assert list(result.reports) == ["prune_weights", "quantize"]
    assert result.scorecard.sparsity.value == pytest.approx(0.5, abs=0.05)


def test_progress_rises_from_nothing_to_done(folder):
    shares = []
    recipe = Recipe.from_yaml(RECIPE.format(model="wine.safetensors"))
    run(recipe, base=folder, progress=lambda share, what: shares.append(share))
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_a_run_can_be_stopped(folder):
    def stop():
        raise optim.OptimError("stopped")

    recipe = Recipe.from_yaml(RECIPE.format(model="wine.safetensors"))
    with pytest.raises(optim.OptimError, match="stopped"):
        run(recipe, base=folder, check=stop)


def test_the_folder_holds_what_was_measured(result, tmp_path):
    result.save(tmp_path / "out")
    file = (tmp_path / "out" / "model.onnx").read_bytes()
    assert len(file) == result.scorecard.file.value == result.verification.size.value
    onnx.checker.check_model(onnx.load_from_string(file))
    scores = json.loads((tmp_path / "out" / "scorecard.json").read_text())
    assert Quantity.from_json(scores["result"]["accuracy"]) == result.scorecard.main
    report = (tmp_path / "out" / "report.txt").read_text()
    assert report.startswith(result.verdict)
    assert "on the same 35 samples, part validation" in report


def test_a_saved_recipe_finds_its_model_from_where_it_lies(result, folder, tmp_path):
    result.save(tmp_path / "a" / "b")
    saved = Recipe.load(tmp_path / "a" / "b" / "recipe.yaml")
    assert saved.model != "wine.safetensors"
    assert saved.data == "wine"
    again = run(saved, base=tmp_path / "a" / "b")
    assert again.baseline.main == result.baseline.main
    assert again.scorecard.main == result.scorecard.main


@pytest.mark.parametrize(
    ("model", "data"),
    [("mlp", "wine"), ("mlp", "wine?seed=3"), ("mlp:/there/weights.pt", "/there/images.zip")],
)
def test_names_and_absolute_files_stay_as_they_are(result, tmp_path, model, data):
    recipe = replace(result.recipe, model=model, data=data)
    replace(result, recipe=recipe).save(tmp_path / "out")
    saved = Recipe.load(tmp_path / "out" / "recipe.yaml")
    assert (saved.model, saved.data) == (model, data)


def test_an_architecture_with_a_weights_file_is_moved_with_its_name(result, tmp_path):
    recipe = replace(result.recipe, model="mlp:w/weights.pt", data="images.zip")
    replace(result, recipe=recipe, base=tmp_path).save(tmp_path / "out")
    saved = Recipe.load(tmp_path / "out" / "recipe.yaml")
    assert (saved.model, saved.data) == ("mlp:../w/weights.pt", "../images.zip")


def test_a_refused_file_is_not_left_there_and_no_older_one_either(result, tmp_path):
    result.save(tmp_path)
    assert (tmp_path / "model.onnx").is_file()
    doubtful = replace(
        result.verification, agreement=Quantity(0.98, "fraction", 0.97, 0.985, n=2000)
    )
    with pytest.raises(ParityError, match="at least 99%"):
        replace(result, verification=doubtful).save(tmp_path)
    assert not (tmp_path / "model.onnx").exists()
    scores = json.loads((tmp_path / "scorecard.json").read_text())
    assert scores["verification"]["passed"] is False


def test_a_folder_that_cannot_be_written_is_named(result, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="'file' cannot be written"):
        result.save(tmp_path / "file")


# --- single models ------------------------------------------------------------------------------


def test_an_exported_file_measures_like_the_model_it_came_from(result, folder, tmp_path):
    result.save(tmp_path)
    found = measure_model(str(tmp_path / "model.onnx"), "wine")
    assert found.scorecard.main == result.verification.accuracy
    assert found.overlap == "unseen", "the file says what the model has seen"
    assert found.scorecard.file.value == (tmp_path / "model.onnx").stat().st_size


@pytest.mark.parametrize(
    ("seen", "overlap"),
    [
        pytest.param((), "unseen", id="never trained"),
        pytest.param(None, "unknown", id="nobody declared it"),
        pytest.param(trained_on(open_data("wine"), "test"), "seen", id="trained on test"),
    ],
)
def test_overlap_with_what_the_model_has_seen_is_said(tmp_path, seen, overlap):
    path = save_model(tmp_path / "m.safetensors", seen)
    found = measure_model(str(path), "wine", part="test")
    assert found.overlap == found.to_json()["overlap"] == overlap
    assert bool(overlap_note(overlap, "test")) == (overlap != "unseen")


def test_normalisation_replaces_that_of_the_model(folder):
    raw = measure_model("wine.safetensors", "wine", base=folder)
    moved = measure_model("wine.safetensors", "wine", base=folder, normalisation=((100.0,), (2.0,)))
    assert moved.subject.bundle.spec.mean == (100.0,)
    assert raw.predictions.largest_difference(moved.predictions) > 0.1


def test_progress_of_a_measurement_rises_with_its_batches(folder):
    shares = []
    measure_model(
        "wine.safetensors", "wine", base=folder, progress=lambda share, what: shares.append(share)
    )
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert len(set(shares)) > 3


def test_batch_and_threads_are_conditions_of_latency(folder):
    found = measure_model("wine.safetensors", "wine", base=folder, batch_size=8, threads=2)
    assert found.scorecard.conditions["batch_size"] == 8
    assert found.scorecard.conditions["threads"] == 2


def test_a_part_that_is_not_there_is_refused_with_those_there_are(folder):
    with pytest.raises(ConfigError, match="train, validation, test: got part='all'") as caught:
        measure_model("wine.safetensors", "wine", base=folder, part="all")
    assert caught.value.field == "part"


def test_data_that_do_not_fit_are_refused(folder):
    with pytest.raises(DataError, match="shape"):
        measure_model("wine.safetensors", "digits", base=folder)


# --- the library's names ------------------------------------------------------------------------


def test_the_names_of_the_library_are_all_there():
    assert sorted(optim.__all__) == sorted(dir(optim))
    for name in optim.__all__:
        assert getattr(optim, name) is not None
    assert optim.run is run


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="no attribute 'prune'"):
        optim.prune  # noqa: B018


def test_a_recipe_keeps_addresses_and_names_in_another_folder(tmp_path):
    recipe = Recipe("hf://owner/repository/model.onnx", "wine")
    assert relocated(recipe, tmp_path, tmp_path / "result") == recipe
    own = Recipe("own.onnx?task=regression", "own.csv?target=y")
    moved = relocated(own, tmp_path, tmp_path / "result")
    assert (moved.model, moved.data) == ("../own.onnx?task=regression", "../own.csv?target=y")
