"""The folder of an answer: what a search writes over, what it leaves, and what it refuses."""

import json

import pytest

from optim.errors import ConfigError
from optim.search.found import answer_bytes, own_files, write_files


def files(answer, *names):
    told = {"files": sorted((answer, *names)), "earlier": []}
    return {answer: answer_bytes(told), **{name: b"new" for name in names}}


def names_in(folder):
    return {path.name for path in folder.iterdir()}


FIRST = ("recipe.yaml", "model.onnx", "front-1.yaml", "front-9.yaml")


def test_a_search_writes_in_place_of_the_earlier_one_and_nothing_else(tmp_path):
    write_files(tmp_path, files("search.json", *FIRST))
    (tmp_path / "notes.txt").write_text("mine")
    own_files(tmp_path)
    told = write_files(tmp_path, files("search.json", "recipe.yaml", "model.opack", "front-2.yaml"))
    assert names_in(tmp_path) == {*told["files"], "notes.txt"}


def test_a_search_for_the_other_kind_takes_the_folder_with_its_answer(tmp_path):
    write_files(tmp_path, files("search.json", *FIRST))
    write_files(tmp_path, files("nas.json", "recipe.yaml", "model.onnx", "model.safetensors"))
    assert names_in(tmp_path) == {"nas.json", "recipe.yaml", "model.onnx", "model.safetensors"}


@pytest.mark.parametrize("again", ["search.json", "nas.json"])
def test_a_search_that_finds_nothing_leaves_what_an_earlier_one_found(tmp_path, again):
    write_files(tmp_path, files("search.json", *FIRST))
    for _ in range(2):
        told = write_files(tmp_path, files(again))
        assert {*FIRST} <= {*told["earlier"]}
        assert json.loads((tmp_path / again).read_text()) == told
        assert {again, *FIRST} <= names_in(tmp_path)
    own_files(tmp_path)
    write_files(tmp_path, files(again, "recipe.yaml", "model.onnx"))
    assert names_in(tmp_path) == {again, "recipe.yaml", "model.onnx"}


@pytest.mark.parametrize(
    "name", ["model.opack", "front-9.yaml", "recipe.yaml", "model.onnx", "search.json"]
)
def test_a_file_that_no_search_tells_of_is_refused_before_it_is_lost(tmp_path, name):
    (tmp_path / name).write_text("[1, 2]")
    with pytest.raises(ConfigError, match=f"has {name}, which no search in it tells of"):
        own_files(tmp_path)
    assert (tmp_path / name).read_text() == "[1, 2]"


def test_an_answer_cannot_have_other_files_removed(tmp_path):
    folder = tmp_path / "found"
    folder.mkdir()
    outside, beside = tmp_path / "recipe.yaml", folder / "notes.txt"
    outside.write_text("mine"), beside.write_text("mine")
    told = {"files": ["../recipe.yaml", "notes.txt", str(outside), 3]}
    (folder / "search.json").write_bytes(answer_bytes(told))
    write_files(folder, files("search.json", "recipe.yaml"))
    assert outside.read_text() == beside.read_text() == "mine"
