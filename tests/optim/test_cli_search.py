"""The search from the command line: JSON and nothing else, files in a folder, exit codes."""

import json
import signal
import sys
from pathlib import Path

import pytest

from optim.cli import main
from optim.cli._searching import _interrupts, amount, bounds, narrowed
from optim.errors import ConfigError
from optim.recipe import Recipe
from optim.search.autopilot.bench import Bench
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
        (("--minutes", "0"), "--minutes must be more than 0 and at most 10,080, a week: got 0."),
        (("--sampler", "magic"), "sampler must be one of"),
        (("--bytes-of", "zip"), "bytes_of must be one of"),
        (("--only", "quantize.weight_bits=9"), "must be one of"),
        (("--only", "nothing"), "--only must be written"),
        (("--device", "toaster"), "toaster"),
        (("--device", "nvidia"), "may be h100, h200"),
        (("--device", "h100", "--max-ram", "64KB"), "RAM of a network on NVIDIA H100 SXM is not"),
        (("--parallel", "-1"), "--parallel must be from 0 to 64"),
    ],
)
def test_unusable_input_is_a_sentence_and_code_2(optim, arguments, message):
    code, out, err = optim(*arguments)
    assert (code, out) == (2, "") or not out.startswith("{")
    assert code == 2
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("figure", "text", "value"),
    [
        ("bytes", "40000", 40_000),
        ("bytes", "40kB", 40_000),
        ("bytes", "64KB", 64_000),
        ("ram", "64KiB", 65_536),
        ("bytes", "1.5 MB", 1_500_000),
        ("flash", "1GiB", 2**30),
        ("macs", "2M", 2e6),
        ("params", "1.5k", 1500),
        ("latency", "5", 5),
        ("latency", "5ms", 5),
        ("latency", "800 us", 0.8),
        ("latency", "800µs", 0.8),
        ("latency", "0.5s", 500),
        ("training", "90", 90),
        ("training", "2min", 120),
        ("energy", "0.001", 0.001),
        ("energy", "1mJ", 0.001),
        ("energy", "2.5e1 uJ", 25e-6),
    ],
)
def test_amounts_have_the_units_of_their_figure(figure, text, value):
    assert amount(figure, "--max", text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("figure", "text", "example"),
    [
        ("bytes", "40ms", "40000, 40kB or 64KiB"),
        ("bytes", "inf", "40000, 40kB or 64KiB"),
        ("bytes", "1e400", "40000, 40kB or 64KiB"),
        ("macs", "5MB", "20000 or 2M"),
        ("latency", "5m", "5, 5ms or 800us"),
        ("training", "1kB", "90, 90s or 2min"),
        ("energy", "1m", "0.001, 1mJ or 500uJ"),
        ("energy", "1MJ", "0.001, 1mJ or 500uJ"),
        ("params", "nan", "20000 or 2M"),
        ("params", "", "20000 or 2M"),
    ],
)
def test_an_amount_of_another_unit_is_refused_with_examples_of_its_own(figure, text, example):
    with pytest.raises(ConfigError, match=f"as in {example}, or a share as in 10%: got '{text}'"):
        amount(figure, "--max", text)


def test_shares_are_left_as_they_are_written():
    assert bounds(bytes=("--max-bytes", " 10% "), macs=("--max-macs", None)) == {"bytes": "10%"}


def test_values_of_dimensions_are_read_as_what_they_are():
    assert narrowed("a.b=4,0.5,true,float", "x=1") == ("a.b", (4, 0.5, True, "float"))
    with pytest.raises(ConfigError, match="--only must be written as x=1"):
        narrowed("a.b=", "x=1")


# --- Ctrl-C -------------------------------------------------------------------------------------


@pytest.fixture
def interrupt(monkeypatch):
    """Return a function that has a candidate's measurement interrupted so many times."""

    def interrupt(at, times):
        count, measure = [], Bench.measure

        def interrupted(bench, *arguments, **options):
            count.append(None)
            if len(count) == at:
                for _ in range(times):
                    signal.raise_signal(signal.SIGINT)
            return measure(bench, *arguments, **options)

        monkeypatch.setattr(Bench, "measure", interrupted)

    return interrupt


def test_the_first_interrupt_takes_what_there_is(optim, interrupt):
    interrupt(at=3, times=1)
    code, out, _ = optim("--max-bytes", "70%", "--minutes", 5, "--out", "found", "--json")
    found = json.loads(out)
    assert found["ended"] == "It was asked to take what it has."
    assert (code, found["satisfied"]) == (0, True)
    assert Path("found/model.onnx").exists()


def test_the_second_interrupt_stops_and_the_same_command_goes_on(optim, interrupt):
    interrupt(at=3, times=2)
    asked = ("--max-bytes", "70%", "--minutes", 0.5, "--out", "found", "--json")
    code, out, err = optim(*asked)
    assert (code, out) == (130, "")
    assert "What was tried is kept: the same command goes on with it." in err
    assert not list(Path("found").iterdir())
    code, out, _ = optim(*asked)
    assert code == 0
    assert "This search goes on" in out


def test_the_first_interrupt_says_what_a_second_does(capfd):
    before = signal.getsignal(signal.SIGINT)
    with _interrupts() as is_enough:
        assert not is_enough()
        signal.raise_signal(signal.SIGINT)
        assert is_enough()
        assert "Ctrl-C once more stops at once" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


# --- the folder ---------------------------------------------------------------------------------


def test_a_folder_with_files_of_somebody_is_refused_before_the_search(optim, tmp_path):
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "model.opack").write_bytes(b"mine")
    code, out, err = optim("--max-bytes", "70%", "--out", "found")
    assert (code, out) == (2, "")
    assert "'found' has model.opack, which no search in it tells of" in err


def test_what_an_earlier_search_found_outlives_one_that_finds_nothing(optim):
    optim("--max-bytes", "70%", "--minutes", 0.3, "--out", "found")
    file = Path("found/model.onnx").read_bytes()
    code, out, err = optim("--max-bytes", "50", "--out", "found", "--json")
    found = json.loads(out)
    assert (code, found["satisfied"], found["files"]) == (1, False, ["search.json"])
    assert {"model.onnx", "recipe.yaml"} <= {*found["earlier"]}
    assert obeys_schema(found)
    assert json.loads(Path("found/search.json").read_text()) == found
    assert Path("found/model.onnx").read_bytes() == file
    assert "Of an earlier search, and left as they are: " in err
