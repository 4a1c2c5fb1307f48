"""Addresses of the hub: fetched only when allowed, bounded, and read like any other file."""

import shutil
import sys
from types import SimpleNamespace

import pytest

from optim.errors import AccessError, MissingDependencyError, UnsupportedModelError
from optim.models import hub
from optim.models.cards import model_cards
from optim.models.hub import fetched
from optim.models.open import open_model

ADDRESS = "hf://somebody/small-nets/digits/net.safetensors"


@pytest.fixture
def stored(tmp_path, own_home, monkeypatch):
    """A hub that holds the weights of a model that ships; what it was asked for."""
    asked = []
    weights = tmp_path / "net.safetensors"
    shutil.copy(model_cards()["digits-resnet8"].weights, weights)

    def hf_hub_download(*, dry_run=False, **wanted):
        asked.append(wanted)
        if wanted["revision"] == "gone":
            raise OSError("404 Client Error.\nRevision Not Found")
        return SimpleNamespace(file_size=weights.stat().st_size) if dry_run else str(weights)

    fake = SimpleNamespace(hf_hub_download=hf_hub_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    monkeypatch.setenv(hub.SWITCH, "1")
    return asked


def test_a_model_is_opened_by_its_address(stored):
    bundle = open_model(f"{ADDRESS}@v1.0")
    assert bundle.spec == open_model("digits-resnet8").spec
    assert stored[0]["repo_id"] == "somebody/small-nets"
    assert stored[0]["filename"] == "digits/net.safetensors"
    assert stored[0]["revision"] == "v1.0"


def test_weights_at_an_address_may_be_given_to_an_architecture(stored):
    with pytest.raises(UnsupportedModelError, match="LeNet-5"):
        open_model(f"lenet-5:{ADDRESS}")
    assert stored[0]["revision"] is None


def test_nothing_is_fetched_unless_it_was_switched_on(stored, monkeypatch):
    monkeypatch.delenv(hub.SWITCH)
    with pytest.raises(AccessError, match="fetches nothing") as caught:
        open_model(ADDRESS)
    assert "OPTIM_HUB=1" in caught.value.hint
    assert not stored


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setenv(hub.SWITCH, "1")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingDependencyError) as caught:
        fetched(ADDRESS)
    assert "pip install" in caught.value.hint


def test_what_cannot_be_had_says_why_in_one_line(stored):
    with pytest.raises(
        UnsupportedModelError, match=r"cannot be fetched: 404 Client Error\."
    ) as caught:
        fetched(f"{ADDRESS}@gone")
    assert "\n" not in caught.value.message


def test_a_file_that_is_too_large_is_not_fetched(stored, monkeypatch):
    monkeypatch.setattr(hub, "MOST_BYTES", 10)
    with pytest.raises(UnsupportedModelError, match="more than 10 B"):
        fetched(ADDRESS)
    assert len(stored) == 1


@pytest.mark.parametrize(
    "address",
    [
        "hf://somebody/net.onnx",
        "hf://somebody/nets/../../net.onnx",
        "hf://somebody/nets/net.onnx@../x",
        "hf:///nets/net.onnx",
        "hf://somebody/nets/model.bin",
        "hf://somebody/nets/net.onnx?x",
        "hf://user:password@host/nets/net.onnx",
    ],
)
def test_what_is_no_address_of_a_model_is_refused(stored, address):
    with pytest.raises(UnsupportedModelError):
        fetched(address)
    assert not stored
