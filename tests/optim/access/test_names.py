"""Names that only this server can tell, and ids that say nothing about who they are of."""

import stat
import subprocess
import sys

import pytest

from optim.access.names import capability, guest_id, user_id
from optim.errors import RunError
from optim.hashing import digest
from optim.storage import store_home


@pytest.fixture(autouse=True)
def _own(own_home):
    return own_home


def test_the_same_parts_give_the_same_name_in_every_process():
    code = "from optim.access.names import capability; print(capability('a', 'b'), end='')"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == capability("a", "b")
    assert capability("a", "b") != capability("ab") != capability("b", "a")


def test_who_knows_the_parts_cannot_say_the_name(own_home, monkeypatch):
    here = capability("a", "b")
    assert here != digest("a", "b")
    monkeypatch.setenv("OPTIM_HOME", str(own_home / "elsewhere"))
    assert capability("a", "b") != here


def test_ids_are_stable_and_hold_nothing_of_what_they_are_made_from():
    assert user_id("https://id.example", "ann@example.org") == user_id(
        "https://id.example", "ann@example.org"
    )
    assert user_id("https://id.example", "ann") != user_id("https://other.example", "ann")
    assert guest_id("token") != user_id("", "token")
    for found in (user_id("https://id.example", "ann"), guest_id("ann")):
        kind, _, digits = found.partition("-")
        assert kind in ("user", "guest")
        assert len(digits) == 16
        assert "ann" not in digits


def test_the_secret_is_for_nobody_else_to_read():
    capability("a")
    path = store_home() / "secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in store_home().iterdir()] == ["secret"]


def test_a_damaged_secret_is_said_and_not_replaced():
    capability("a")
    (store_home() / "secret").write_bytes(b"short")
    with pytest.raises(RunError, match="secret is damaged"):
        capability("a")
    assert (store_home() / "secret").read_bytes() == b"short"
