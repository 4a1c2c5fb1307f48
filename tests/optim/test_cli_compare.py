"""Models side by side from the command line."""

import json
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from optim.cli import main

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
    assert f"--budget must be a number from 0: got {budget}." in err


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
        (["model:wine-mlp", "--reference", "2"], "--reference must be from 1 to 1"),
    ],
)
def test_what_cannot_be_compared_is_a_sentence(optim, arguments, words):
    code, _, err = optim(*arguments)
    assert code == 2
    assert words in err
