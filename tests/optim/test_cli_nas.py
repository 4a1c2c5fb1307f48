"""The search for architectures from the command line: JSON, files in a folder, exit codes."""

import json
import sys
from pathlib import Path

import pytest

from optim.cli import main
from tests.optim.test_cli import obeys_schema

ONLY = ("width=4,8", "depth=1")


@pytest.fixture
def optim(monkeypatch, capsys, tmp_path):
    """Return a function that runs a search: ``(exit code, stdout, stderr)``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPTIM_STORE", f"sqlite:///{tmp_path / 'runs.db'}")

    def run(*arguments, space="mlp", data="wine"):
        only = [part for text in ONLY for part in ("--only", text)]
        start = ["optim", "nas", "--space", space, "--data", data, "--epochs", "1"]
        monkeypatch.setattr(sys, "argv", [*start, *only, *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return run


def test_it_prints_json_alone_and_writes_the_folder(optim):
    code, out, err = optim("--max-params", "1k", "--out", "found", "--json")
    found = json.loads(out)
    assert (code, found["satisfied"]) == (0, True), found["story"]
    assert obeys_schema(found)
    assert "Taken: " in err
    names = {path.name for path in Path("found").iterdir()}
    assert {"nas.json", "recipe.yaml", "model.onnx", "model.safetensors"} <= names
    assert Path("found/model.onnx").stat().st_size == found["verification"]["bytes"]["value"]
    assert json.loads(Path("found/nas.json").read_text()) == found


def test_it_prints_the_front_for_a_reader(optim):
    code, out, _ = optim("--precision", "float32")
    assert code == 0
    assert "The front, cheapest first" in out
    assert "Verified in ONNX Runtime" in out


def test_limits_out_of_reach_are_refused_at_once_and_said(optim):
    code, out, _ = optim("--max-params", "50", "--json")
    assert code == 1
    assert "out of reach" in json.loads(out)["impossible"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max-bytes", "10%"), "and no share: there is no original: got '10%'"),
        (("--max-ms", "5m", "--device", "cortex-m4"), "--max-ms must be a number of milliseconds"),
        (("--max-training-s", "1kB"), "--max-training-s must be a number of seconds"),
        (("--device", "here"), "has no device 'here'"),
        (("--only", "foo"), "--only must be written as width=8,16"),
        (("--parallel", "-1"), "--parallel must be from 0 to 64"),
        (("--max-ms", "1"), "none is named"),
        (("--sampler", "magic"), "sampler must be one of"),
        (("--screen", "magic"), "screen must be one of"),
        (("--only", "colour=3"), "no dimension"),
        (("--minutes", "-3"), "--minutes must be more than 0 and at most 10,080, a week: got -3."),
    ],
)
def test_unusable_input_is_a_sentence_and_code_2(optim, arguments, message):
    code, out, err = optim(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_a_space_that_does_not_take_the_data_is_refused(optim, monkeypatch):
    monkeypatch.setattr("tests.optim.test_cli_nas.ONLY", ("width=8",))
    code, _, err = optim(space="dscnn")
    assert code == 2
    assert "takes inputs of shape" in err


def test_a_supernet_that_was_half_trained_when_it_was_killed_goes_on(optim, monkeypatch):
    from optim.runs.checkpoint import Checkpoint
    from optim.storage import store_home

    save, load = Checkpoint.save, Checkpoint.load
    saved, loaded = [], []

    def saves(self, state):
        save(self, state)
        if self.step == "supernet":
            saved.append(state)
            if len(saved) == 2:
                raise KeyboardInterrupt

    def loads(self):
        state = load(self)
        if self.step == "supernet":
            loaded.append(state)
        return state

    monkeypatch.setattr(Checkpoint, "save", saves)
    monkeypatch.setattr(Checkpoint, "load", loads)
    asked = ("--method", "supernet", "--epochs", "3", "--minutes", "2", "--json")
    code, _, _ = optim(*asked)
    assert code != 0
    assert list((store_home() / "searching").iterdir())
    code, out, _ = optim(*asked)
    assert code == 0
    assert json.loads(out)["supernet"]["epochs"] == 6
    assert loaded[0] is None
    assert loaded[1] is not None, "it began anew"
    assert not list((store_home() / "searching").iterdir())
