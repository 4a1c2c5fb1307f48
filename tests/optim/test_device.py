"""The processor that computes."""

import os
import subprocess
import sys

import pytest
import torch

import optim
from optim.device import compute_device
from optim.errors import ConfigError
from optim.processes import child_environment


def test_the_wanted_device_computes(device):
    assert compute_device().type == device


def test_without_a_wish_a_gpu_computes_where_there_is_one(monkeypatch):
    monkeypatch.delenv("OPTIM_DEVICE", raising=False)
    assert compute_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["quantum", "cuda:99", "cpu:x"])
def test_a_device_that_is_not_there_is_refused_by_name(name, monkeypatch):
    monkeypatch.setenv("OPTIM_DEVICE", name)
    with pytest.raises(ConfigError, match=f"OPTIM_DEVICE='{name}' is not a device"):
        compute_device()


def test_children_find_this_very_package(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    environment = child_environment()
    assert environment["PYTHONPATH"].endswith(f"{os.pathsep}elsewhere")
    done = subprocess.run(
        [sys.executable, "-c", "import optim; print(optim.__file__)"],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == optim.__file__
