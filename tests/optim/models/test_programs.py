"""Programs are refused; who trusts them has them opened in a process of their own."""

import os
import subprocess

import pytest
import torch

from optim.errors import MissingDependencyError, UnsupportedModelError
from optim.models.bundle import TorchModel
from optim.models.open import open_model
from optim.models.programs import is_factory, is_program
from tests.helpers import data_for, outputs_of, tiny_bundle

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")

MODULE = """
import os, pathlib, torch

def small():
    pathlib.Path(os.environ["WITNESS"]).write_text(str(os.getpid()))
    print("what a program prints is no answer")
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(12, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4))

def nothing():
    return 7

def broken():
    raise ValueError("it does not work today")

def dies():
    os._exit(1)
"""


RUN = subprocess.run


@pytest.fixture
def here(tmp_path, monkeypatch, forked):
    (tmp_path / "own.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WITNESS", str(tmp_path / "witness"))
    return tmp_path


@pytest.fixture
def module():
    torch.manual_seed(0)
    layers = torch.nn.Linear(12, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4)
    return torch.nn.Sequential(*layers).eval()


def assert_same(bundle, module):
    x = torch.randn(3, 12, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(outputs_of(bundle, x), module(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["m.torchscript", "m.pt"])
def test_torchscript_is_opened_where_it_is_trusted(here, module, name):
    torch.jit.script(module).save(here / name)
    bundle = open_model(f"{name}?shape=12", base=here, trust=True)
    assert isinstance(bundle.content, TorchModel)
    assert "trusted" in bundle.provenance.note
    assert (bundle.name, bundle.provenance.source) == ("m", name)
    assert_same(bundle, module)


def test_an_exported_program_knows_its_input(here, module):
    torch.export.save(torch.export.export(module, (torch.zeros(1, 12),)), here / "m.pt2")
    bundle = open_model("m.pt2", base=here, trust=True)
    assert bundle.spec.shape == (12,)
    assert_same(bundle, module)


def test_a_factory_is_called_in_another_process(here, module, monkeypatch):
    monkeypatch.setattr(subprocess, "run", RUN)
    bundle = open_model("own:small", data=data_for(tiny_bundle("mlp")), trust=True)
    assert bundle.task.n_classes == 4
    assert_same(bundle, module)
    assert int((here / "witness").read_text()) != os.getpid()


@pytest.mark.parametrize("ref", ["m.torchscript", "m.pt2", "m.pt", "own:small", "timm:resnet18"])
def test_nothing_runs_without_trust(here, module, ref):
    if ref.startswith("m."):
        torch.jit.script(module).save(here / ref)
    with pytest.raises(UnsupportedModelError, match="is a program; opening it runs its code") as no:
        open_model(ref, base=here)
    assert "safetensors" in no.value.hint
    assert "ONNX" in no.value.hint
    assert not (here / "witness").exists()


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("own:nothing?shape=12", "gives a int, and no torch module"),
        ("own:broken?shape=12", "cannot be opened: it does not work today"),
        ("own:dies?shape=12", "could not be opened within the limits"),
        ("own:absent?shape=12", "'own' has no 'absent'"),
        ("own:small", "does not say the size of its input"),
        ("own:small?shape=13", "cannot be opened: mat1 and mat2"),
        ("own:small?shape=0x3", "shape must be whole numbers"),
    ],
    ids=lambda value: value.partition("?")[0],
)
def test_what_goes_wrong_is_a_sentence(here, ref, message):
    with pytest.raises(UnsupportedModelError, match=message):
        open_model(ref, trust=True)


def test_a_library_that_is_missing_is_named(here):
    with pytest.raises(MissingDependencyError, match="'nowhere' is needed") as missing:
        open_model("nowhere.models:small?shape=12", trust=True)
    assert missing.value.hint == "pip install nowhere"


def test_a_library_of_models_is_asked_by_name(here, module):
    (here / "timm.py").write_text(
        "import own\n"
        "def create_model(name, pretrained):\n"
        "    assert pretrained and name == 'small'\n"
        "    return own.small()\n"
    )
    assert_same(open_model("timm:small?shape=12", trust=True), module)


def test_programs_are_told_from_weights(here, module):
    torch.save(module.state_dict(), here / "weights.pt")
    torch.jit.script(module).save(here / "program.pt")
    assert is_program(here / "program.pt")
    assert not is_program(here / "weights.pt")
    assert is_factory("package.module:factory")
    assert not is_factory("no factory")
