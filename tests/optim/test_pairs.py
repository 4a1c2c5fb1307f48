"""Who has to look at a pair of model and data before its accuracy is shown."""

from types import SimpleNamespace

import numpy as np
import pytest

from optim.data import DataOptions
from optim.data.added import add_data, set_data_options
from optim.pairs import confirm_pair, confirmed_check, forget_pairs, needs_confirmation


@pytest.fixture
def uploaded(own_home, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((8, 1, 4, 4), np.uint8), y=np.arange(8) % 2)
    return add_data(tmp_path / "a.npz", copy=True, listed=False).name


def test_what_ships_needs_no_confirmation(own_home):
    assert not needs_confirmation("wine-mlp", "wine")


def test_what_an_operator_added_needs_none(own_home, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((8, 1, 4, 4), np.uint8), y=np.arange(8) % 2)
    assert not needs_confirmation("wine-mlp", add_data(tmp_path / "a.npz").name)


def test_inputs_made_for_a_model_are_read_as_it_takes_them(own_home, uploaded, monkeypatch):
    cards = {"theirs": SimpleNamespace(listed=False)}
    monkeypatch.setattr("optim.pairs.model_cards", lambda: cards)
    assert needs_confirmation("theirs", "wine")
    assert not needs_confirmation("theirs", "generated?samples=64")


def test_what_is_not_here_is_somebody_elses_question(own_home):
    assert not needs_confirmation("no-such-model", "no-such-data")


def test_uploaded_data_need_it_once_for_each_model(uploaded):
    assert needs_confirmation("wine-mlp", uploaded)
    confirm_pair("wine-mlp", uploaded, {"is_near_chance": True})
    assert not needs_confirmation("wine-mlp", uploaded)
    assert confirmed_check("wine-mlp", uploaded)["is_near_chance"]
    assert needs_confirmation("digits-mlp", uploaded)


def test_data_read_otherwise_need_it_again(uploaded):
    confirm_pair("wine-mlp", uploaded, {})
    set_data_options(uploaded, DataOptions(scale=2.0))
    assert needs_confirmation("wine-mlp", uploaded)


@pytest.mark.parametrize("damage", [b"", b"[1]", b"\xff{"])
def test_a_damaged_record_is_none(uploaded, own_home, damage):
    confirm_pair("wine-mlp", uploaded, {})
    (record,) = (own_home / "store" / "pairs").iterdir()
    record.write_bytes(damage)
    assert confirmed_check("wine-mlp", uploaded) is None


def test_what_is_gone_leaves_nothing_that_was_confirmed_about_it(uploaded):
    confirm_pair("wine-mlp", uploaded, {})
    confirm_pair("digits-mlp", "digits", {})
    forget_pairs({uploaded})
    assert confirmed_check("wine-mlp", uploaded) is None
    assert confirmed_check("digits-mlp", "digits") is not None
