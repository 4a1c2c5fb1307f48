"""Commands lose nothing that was there: what they read, and what others have written."""

import sys

import numpy as np
import pytest

from optim.cli import main
from optim.data.added import data_cards
from optim.export.deploy import onnx_bytes
from optim.models.open import open_registered_model

RECIPE = "# why 8 bits\nversion: 1\nmodel: model.onnx\ndata: wine\nsteps:\n  - prune_weights: {}\n"


@pytest.fixture
def optim(own_home, monkeypatch, capsys, tmp_path):
    """Return a function that runs a command in a folder with a model, a recipe and samples."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_bytes(onnx_bytes(open_registered_model("wine-mlp")))
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    (tmp_path / "other.yaml").write_text(RECIPE, encoding="utf-8")
    np.savez(tmp_path / "d.npz", x=np.eye(13, dtype=np.float32), y=np.arange(13) % 3)

    def run(line):
        monkeypatch.setattr(sys, "argv", ["optim", *line.split()])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return run


def content_of(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("run other.yaml --out .", "model.onnx"),
        ("run recipe.yaml --out .", "recipe.yaml"),
        ("export recipe.yaml --out model.onnx", "model.onnx"),
        ("share recipe.yaml --out page.html", "page.html"),
        ("measure model.onnx --data wine --save-baseline model.json", "model.onnx"),
        ("search model.onnx --data wine --max-bytes 10% --minutes 1 --out .", "model.onnx"),
        ("unpack model.onnx --out model.onnx", "model.onnx"),
        ("devices predict --csv recipe.yaml --out recipe.yaml", "recipe.yaml"),
    ],
)
def test_what_a_command_reads_is_never_replaced(optim, tmp_path, line, file):
    if "share" in line:  # by another name, which leads to the recipe
        (tmp_path / "page.html").symlink_to(tmp_path / "recipe.yaml")
    before = content_of(tmp_path)
    code, _, error = optim(line)
    assert code == 2
    assert "would be replaced" in error
    assert file in error
    assert content_of(tmp_path) == before


def test_a_file_in_a_folder_that_is_read_is_not_replaced(optim, tmp_path):
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "model.onnx").write_bytes(b"a sample")
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("data: wine", "data: samples"))
    code, _, error = optim("export recipe.yaml --out samples/model.onnx")
    assert (code, "would be replaced" in error) == (2, True)


def test_a_name_wins_over_a_file_that_is_not_read(optim, tmp_path):
    (tmp_path / "wine").mkdir()
    arguments = "measure wine-mlp --data wine --save-baseline wine/b.json"
    assert [optim(arguments)[0] for _ in range(2)] == [0, 0]


def test_a_baseline_replaces_nothing_but_a_baseline(optim, tmp_path):
    before = (tmp_path / "model.onnx").read_bytes()
    code, _, error = optim("measure wine-mlp --data wine --save-baseline model.json")
    assert code == 2
    assert "'model.onnx' does not belong to a baseline 'model.json'" in error
    assert (tmp_path / "model.onnx").read_bytes() == before
    (tmp_path / "settings.json").write_text("{}")
    code, _, error = optim("measure wine-mlp --data wine --save-baseline settings.json")
    assert (code, (tmp_path / "settings.json").read_text()) == (2, "{}")
    assert "'settings.json' is no baseline of this version and would be replaced" in error
    assert optim("measure wine-mlp --data wine --save-baseline b.json")[0] == 0
    assert optim("measure model.onnx --data wine --save-baseline b.json")[0] == 0
    (tmp_path / "b.onnx").write_bytes(b"mine")
    assert optim("measure wine-mlp --data wine --save-baseline b.json")[0] == 2
    assert (tmp_path / "b.onnx").read_bytes() == b"mine"


def test_a_target_that_cannot_be_written_is_found_out_before_the_work(optim, tmp_path, monkeypatch):
    def work(*given, **more):
        pytest.fail("the work has begun")

    monkeypatch.setattr("optim.runner.export_recipe", work)
    (tmp_path / "folder.onnx").mkdir()
    for name in ("folder.onnx", f"{'x' * 300}.onnx", "d.npz/m.onnx"):
        code, _, error = optim(f"export recipe.yaml --out {name}")
        assert code == 2
        assert "cannot be used" in error


@pytest.mark.parametrize(
    ("kind", "added", "other"),
    [
        ("data", "add-data d.npz --copy", "add-data d.csv"),
        ("models", "add-model model.onnx --data wine", "add-model other.onnx --data wine"),
    ],
)
def test_a_name_that_is_taken_is_replaced_only_when_asked(
    optim, own_home, tmp_path, kind, added, other
):
    (tmp_path / "d.csv").write_text("a,y\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    (tmp_path / "other.onnx").write_bytes((tmp_path / "model.onnx").read_bytes())
    assert optim(f"{added} --name mine") == (0, "mine\n", "")
    card = (own_home / "store" / kind / "mine.json").read_bytes()
    code, _, error = optim(f"{other} --name mine")
    assert code == 2
    assert "name='mine' is already taken." in error
    assert "--replace" in error
    assert (own_home / "store" / kind / "mine.json").read_bytes() == card
    assert optim(f"{other} --name mine --replace") == (0, "mine\n", "")
    assert (own_home / "store" / kind / "mine.json").read_bytes() != card


def test_the_copy_of_data_that_were_replaced_is_removed(optim, own_home, tmp_path):
    assert optim("add-data d.npz --copy --name mine")[0] == 0
    assert (own_home / "store" / "data" / "mine.npz").is_file()
    assert optim("add-data d.npz --name mine --replace")[0] == 0
    assert [p.name for p in (own_home / "store" / "data").iterdir()] == ["mine.json"]
    assert data_cards()["mine"].path == str(tmp_path / "d.npz")
    assert (tmp_path / "d.npz").is_file()
