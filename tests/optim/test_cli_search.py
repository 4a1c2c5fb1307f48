"""The search from the command line: JSON and nothing else, files in a folder, exit codes."""

import json
import sys
from pathlib import Path

import pytest

from optim.cli import main
from optim.cli._searching import bound, narrowed
from optim.errors import ConfigError
from optim.recipe import Recipe
from optim.sensitivity.analysis import analyse
from optim.sensitivity.kept import SHELF, key_of
from optim.sensitivity.profile import SAMPLES
from optim.subject import open_subject
from tests.optim.test_cli import obeys_schema

ONLY = (
    "prune_channels.importance=magnitude",
    "prune_channels.scope=local",
    "prune_channels.layers=same",
    "prune_channels.pruning_ratio=0.0,0.25,0.5",
    "quantize.weight_bits=8",
    "quantize.activation_bits=8",
    "quantize.granularity=per_channel",
    "quantize.calibration=minmax",
    "quantize.weight_calibration=minmax",
    "quantize.layers=same",
    "quantize.ends=same",
    "factorize.on=false",
)


@pytest.fixture(scope="module", autouse=True)
def analysed(optim_home):
    base = Recipe("wine-mlp", "wine")
    *_, profile = analyse(open_subject(base))
    SHELF.keep(key_of(base, SAMPLES), profile.to_json())


@pytest.fixture
def optim(monkeypatch, capsys, tmp_path):
    """Return a function that runs a search: ``(exit code, stdout, stderr)``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPTIM_STORE", f"sqlite:///{tmp_path / 'runs.db'}")

    def run(*arguments):
        only = [part for text in ONLY for part in ("--only", text)]
        start = ["optim", "search", "wine-mlp", "--data", "wine", "--no-training"]
        monkeypatch.setattr(sys, "argv", [*start, *only, *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return run


def test_it_prints_json_alone_and_writes_the_folder(optim, tmp_path):
    code, out, err = optim("--max-bytes", "70%", "--minutes", 0.5, "--out", "found", "--json")
    found = json.loads(out)
    assert (code, found["satisfied"]) == (0, True), found["story"]
    assert obeys_schema(found)
    assert "Taken: " in err
    names = {path.name for path in Path("found").iterdir()}
    assert {"search.json", "recipe.yaml", "model.onnx"} <= names
    size = Path("found/model.onnx").stat().st_size
    assert size == found["verification"]["bytes"]["value"] <= found["goals"]["limits"]["bytes"]
    assert Recipe.load("found/recipe.yaml").active
    assert json.loads(Path("found/search.json").read_text()) == found
    assert (tmp_path / "runs-studies.db").exists()


def test_limits_out_of_reach_are_refused_at_once_and_said(optim):
    code, out, _ = optim("--max-bytes", "50", "--json")
    found = json.loads(out)
    assert code == 1
    assert "out of reach" in found["impossible"]
    assert obeys_schema(found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max-bytes", "small"), "--max-bytes must be a number"),
        (("--max-ram", "64kB"), "none is named"),
        (("--minutes", "0"), "budget must be more than 0"),
        (("--sampler", "magic"), "sampler must be one of"),
        (("--bytes-of", "zip"), "bytes_of must be one of"),
        (("--only", "quantize.weight_bits=9"), "must be one of"),
        (("--only", "nothing"), "--only must be written"),
        (("--device", "toaster"), "toaster"),
    ],
)
def test_unusable_input_is_a_sentence_and_code_2(optim, arguments, message):
    code, out, err = optim(*arguments)
    assert (code, out) == (2, "") or not out.startswith("{")
    assert code == 2
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("text", "value"),
    [("40000", 40_000), ("40kB", 40_000), ("64KiB", 65_536), ("1.5 MB", 1_500_000), ("10%", "10%")],
)
def test_amounts_have_units(text, value):
    assert bound("--max-bytes", text) == value


def test_values_of_dimensions_are_read_as_what_they_are():
    assert narrowed("a.b=4,0.5,true,float") == ("a.b", (4, 0.5, True, "float"))
    with pytest.raises(ConfigError, match="--only must be written"):
        narrowed("a.b=")
