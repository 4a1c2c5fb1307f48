"""The notebook of the documentation does what it says, cell by cell."""

import ast
import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "library.ipynb"


@pytest.fixture
def cells():
    """Source and stored output of every cell of code."""
    stored = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return [
        ("".join(cell["source"]), _text(cell["outputs"]))
        for cell in stored["cells"]
        if cell["cell_type"] == "code"
    ]


def _text(outputs):
    """Return what a reader sees below a cell."""
    found = [output.get("text") or output["data"]["text/plain"] for output in outputs]
    return "".join("".join(lines) for lines in found).strip()


def _run(source, names):
    """Run a cell as a notebook does, and return what it would show."""
    body, told = ast.parse(source), StringIO()
    last = body.body.pop() if isinstance(body.body[-1], ast.Expr) else None
    with redirect_stdout(told):
        exec(compile(body, "cell", "exec"), names)
        shown = eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None
    return (told.getvalue() + ("" if shown is None else repr(shown))).strip()


def test_every_cell_runs_and_what_is_the_same_everywhere_is_what_stands_there(
    cells, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    names = {}
    shown = [_run(source, names) for source, _ in cells]
    assert len(shown) > 5
    assert all(shown)
    exact = ("recipe.to_yaml()", "result.save", "controls(quantize)")
    for (source, stored), now in zip(cells, shown, strict=True):
        if any(part in source for part in exact):
            assert now == stored
    verdict = next(
        now for (source, _), now in zip(cells, shown, strict=True) if "verdict" in source
    )
    assert "smaller" in verdict
