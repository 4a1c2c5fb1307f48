"""Fixtures of every test: fixed seeds, a store apart from the user's, small models and data."""

import os
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

# Two threads that fight over one core can be fifty times slower than one; the models are tiny.
# Set before torch is imported, and passed on to the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def optim_home(tmp_path_factory):
    """Keep every test off the user's cache and store; generated data is made once a session."""
    home = tmp_path_factory.getbasetemp() / "optim-home"
    share_cache(home, tmp_path_factory.getbasetemp())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPTIM_HOME", str(home))
        patch.delenv("OPTIM_DEVICE", raising=False)
        yield home


def share_cache(home, base):
    """Have processes that share out the tests share what is generated as well."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        cache = base.parent / "optim-cache"
        cache.mkdir(exist_ok=True)
        home.mkdir()
        (home / "cache").symlink_to(cache)


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    """An empty cache and store for one test."""
    monkeypatch.setenv("OPTIM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def zygote():
    """One process for the session that has imported what opens files of others, and forks."""
    from tests.zygote import Zygote

    running = Zygote(
        ("optim.intake", "optim.models.programs"),
        imports=(
            *("optim.library", "optim.data.open", "optim.models.open", "onnxruntime"),
            *("optim.first_look.data", "optim.first_look.model", "optim.first_look.pair"),
        ),
    )
    yield running
    running.close()


@pytest.fixture
def forked(zygote, monkeypatch):
    """Let files be opened by children that are forked instead of started, and import nothing."""
    monkeypatch.setattr("optim.processes.subprocess.run", zygote.run)


@pytest.fixture
def popen_of(monkeypatch):
    """Have one module start something else than processes; the others go on starting theirs."""

    def replace(module, start):
        names = {**vars(subprocess), "Popen": start}
        monkeypatch.setattr(module, "subprocess", SimpleNamespace(**names))

    return replace


@pytest.fixture(autouse=True)
def seeds():
    """Start every test from the same state of the global generators."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  (libraries still draw from the old global generator)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def _devices():
    """Return the devices that are present; torch is asked only when a test wants one."""
    devices = ["cpu"]
    if Path("/dev/nvidiactl").exists():
        devices.append(pytest.param("cuda", marks=pytest.mark.gpu))
    return devices


@pytest.fixture(params=_devices())
def device(request, monkeypatch):
    """Every device that is present, as the one that computes."""
    monkeypatch.setenv("OPTIM_DEVICE", request.param)
    return request.param


@pytest.fixture
def shared():
    """Find a file of the folder that holds published weights and data, or skip."""

    def find(name):
        path = ROOT.parent / "shared" / "data" / name
        if not path.exists():
            pytest.skip(f"needs {name} of ../shared/data, which is not on this machine")
        return path

    return find


@pytest.fixture
def tiny_cnn():
    """A residual network with batch norm on 3x16x16 images, four classes."""
    from tests.helpers import tiny_bundle

    return tiny_bundle("resnet")


@pytest.fixture
def tiny_mlp():
    """A perceptron with batch norm on twelve features, four classes."""
    from tests.helpers import tiny_bundle

    return tiny_bundle("mlp")


@pytest.fixture
def tiny_transformer():
    """A vision transformer of one block on 3x16x16 images, four classes."""
    from tests.helpers import tiny_bundle

    return tiny_bundle("vit")


@pytest.fixture(
    params=[
        "resnet",
        "mobilenet",
        "ds-cnn",
        "lenet-5",
        "vit",
        "mlp",
        "cnn-1d",
        "cells",
        "detector",
    ]
)
def family(request):
    """Every family of architectures that differs in what techniques meet."""
    return request.param


@pytest.fixture
def bundle(family):
    """A tiny model of each family."""
    from tests.helpers import tiny_bundle

    return tiny_bundle(family)


@pytest.fixture
def context(bundle):
    """What a step is given beside the model: data that fits it, seed 0."""
    from tests.helpers import context_for

    return context_for(bundle)


@pytest.fixture(scope="session")
def trained():
    """A small residual network that has learned the plain digits, and its data.

    One for the session, because training takes a second; nothing may change it.
    """
    from tests.helpers import train_on_digits

    return train_on_digits()


@pytest.fixture(scope="session")
def several_trained(trained):
    """Three such networks, for what one of them cannot show: which of two methods is better."""
    from tests.helpers import train_on_digits

    return [trained, *(train_on_digits(seed) for seed in (1, 2))]
