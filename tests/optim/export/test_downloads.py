"""Files waiting for a browser: found by token and name, and by nothing else."""

import os

import pytest

from optim.errors import ExportError
from optim.export import downloads
from optim.export.downloads import exports_of, find_export, keep_export, owners_of_exports
from optim.hashing import digest, digest_bytes


@pytest.fixture(autouse=True)
def _own(own_home):
    return own_home


def test_a_file_is_found_under_its_token_and_name():
    token = keep_export(b"data", "model.onnx")
    assert find_export(token, "model.onnx").read_bytes() == b"data"
    assert keep_export(b"data", "model.onnx") == token


def test_who_has_the_file_cannot_say_the_token_of_somebody_else():
    tokens = {keep_export(b"data", "model.onnx", owner) for owner in ("", "user-a", "user-b")}
    assert len(tokens) == 3
    assert digest("model.onnx", b"data".hex()) not in tokens
    assert digest_bytes(b"data") not in tokens


def test_files_of_an_owner_are_found_by_the_owner():
    token = keep_export(b"data", "model.onnx", "user-a")
    keep_export(b"data", "model.onnx")
    assert list(exports_of("user-a").glob("*/*")) == [find_export(token, "model.onnx")]
    assert owners_of_exports() == ["user-a"]


def test_other_content_has_another_token():
    assert keep_export(b"a", "m.onnx") != keep_export(b"b", "m.onnx")


@pytest.mark.parametrize("name", ["other.onnx", "../model.onnx", "..", "", ".", "model.onnx/", "*"])
def test_no_other_name_is_found(name):
    token = keep_export(b"data", "model.onnx")
    assert find_export(token, name) is None


@pytest.mark.parametrize(
    "token", ["", "..", "0" * 31, "0" * 33, "../" + "0" * 29, "G" * 32, "0" * 32]
)
def test_no_other_token_is_found(token, own_home):
    keep_export(b"data", "model.onnx")
    (own_home / "store" / "model.onnx").write_bytes(b"secret")
    assert find_export(token, "model.onnx") is None


def test_the_oldest_go_first(monkeypatch):
    monkeypatch.setattr(downloads, "_KEPT", 3)
    tokens = []
    for i in range(5):
        tokens.append(keep_export(bytes([i]), "m.onnx"))
        folder = find_export(tokens[-1], "m.onnx").parent
        os.utime(folder, (i, i))  # the newest is kept before it is aged
    assert [find_export(t, "m.onnx") is not None for t in tokens] == [False] * 2 + [True] * 3


def test_a_full_disk_is_said(monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(downloads, "write_atomic", full)
    with pytest.raises(ExportError, match="could not be stored: No space left") as caught:
        keep_export(b"data", "m.onnx")
    assert caught.value.hint
