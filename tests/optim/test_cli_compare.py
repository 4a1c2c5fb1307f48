"""Models side by side from the command line."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from optim.cli import main
from optim.data import open_data
from optim.export.deploy import onnx_bytes
from optim.models.open import open_registered_model

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "schemas" / "compare-1.json"
RECIPE = "version: 1\nmodel: wine-mlp\ndata: wine\nsteps:\n  - quantize: {weight_bits: 4}\n"


@pytest.fixture
def optim(own_home, monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("OPTIM_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "four.yaml").write_text(RECIPE, encoding="utf-8")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["optim", "compare", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return run


def test_json_has_changes_front_and_descent(optim):
    code, out, _ = optim("model:wine-mlp", "four.yaml", "--budget", "1e9", "--json")
    assert code == 0
    found = json.loads(out)
    Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(found)
    first, second = found["entries"]
    assert (first["kind"], second["kind"]) == ("model", "recipe")
    assert second["changes"]["quality"]["paired"]
    assert second["changes"]["file"]["change"]["difference"]["value"] < 1
    assert found["best_within"]["entry"] in (0, 1)
    assert [node["parents"] for node in found["descent"]] == [[], ["model:wine-mlp"]]


@pytest.mark.parametrize("budget", ["nan", "-1", "inf"])
def test_a_budget_that_is_no_amount_is_refused(optim, budget):
    code, out, err = optim("model:wine-mlp", "four.yaml", "--budget", budget, "--json")
    assert (code, out) == (2, "")
    assert f"--budget must be a finite number from 0: got {budget}." in err


def test_a_table_says_what_is_the_reference(optim):
    code, out, _ = optim("model:wine-mlp", "four.yaml")
    assert code == 0
    assert "reference" in out
    assert "four" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nosuchrun"], "There is no run"),
        (["model:wine-mlp", "--cost", "money"], "--cost must be one of"),
        (["model:wine-mlp", "--budget", "nan", "--json"], "finite number from 0: got nan"),
        (["model:wine-mlp", "--budget", "-1"], "finite number from 0: got -1"),
        (["model:wine-mlp", "--reference", "2"], "--reference must be from 1 to 1"),
    ],
)
def test_what_cannot_be_compared_is_a_sentence(optim, arguments, words):
    code, _, err = optim(*arguments)
    assert code == 2
    assert words in err


def test_a_file_of_a_model_is_no_recipe_and_it_is_said_what_to_do(optim, tmp_path):
    (tmp_path / "mine.onnx").write_bytes(onnx_bytes(open_registered_model("wine-mlp")))
    code, _, error = optim("mine.onnx", "four.yaml")
    assert code == 2
    assert "'mine.onnx' is a file of a model" in error
    assert "optim add-model mine.onnx" in error


def test_a_model_goes_by_its_plain_name(optim):
    code, out, _ = optim("wine-mlp", "four.yaml", "--json")
    assert code == 0
    assert [entry["ref"] for entry in json.loads(out)["entries"]] == ["model:wine-mlp", "four.yaml"]


def own_files(folder):
    """Write a model, samples and a recipe that names both from where it lies."""
    folder.mkdir()
    (folder / "own.onnx").write_bytes(onnx_bytes(open_registered_model("wine-mlp")))
    validation = open_data("wine").part("validation")
    np.savez(folder / "own.npz", x=validation.inputs, y=validation.targets)
    text = "version: 1\nmodel: own.onnx\ndata: own.npz\nsteps:\n  - quantize: {weight_bits: 4}\n"
    (folder / "own.yaml").write_text(text, encoding="utf-8")
    (folder / "two.yaml").write_text(text.replace("4", "2"), encoding="utf-8")


def test_files_of_a_recipe_are_looked_up_where_it_lies(optim, tmp_path):
    own_files(tmp_path / "far")
    code, out, error = optim("far/own.yaml", "far/two.yaml", "--json")
    assert (code, error) == (0, "")
    entries = json.loads(out)["entries"]
    assert [entry["problem"] for entry in entries] == ["", ""]
    assert [entry["n"] for entry in entries] == [35, 35]


@pytest.mark.parametrize(
    "names", [("lost.yaml", "four.yaml"), ("four.yaml", "lost.yaml"), ("lost.yaml",)]
)
@pytest.mark.parametrize("more", [[], ["--json"]], ids=["table", "json"])
def test_nothing_that_was_compared_is_no_success(optim, tmp_path, names, more):
    (tmp_path / "lost.yaml").write_text(RECIPE.replace("wine-mlp", "gone.onnx"), encoding="utf-8")
    code, out, error = optim(*names, *more)
    assert code == 2
    assert "Nothing was compared: lost could not be measured. There is no model or file" in error
    assert "lost" in out


def test_others_that_can_be_compared_are(optim, tmp_path):
    (tmp_path / "lost.yaml").write_text(RECIPE.replace("wine-mlp", "gone.onnx"), encoding="utf-8")
    code, _, error = optim("wine-mlp", "lost.yaml", "four.yaml")
    assert code == 0
    assert "lost: There is no model or file" in error
