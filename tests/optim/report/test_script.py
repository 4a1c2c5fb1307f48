"""What is copied runs the same recipe."""

import ast
import subprocess
import sys

from optim.processes import child_environment
from optim.recipe import Recipe
from optim.report.script import as_check, as_command, as_python
from optim.runner import run
from optim.techniques.prune_weights import PruneWeights
from tests.pages.worked import trainable


def test_the_command_writes_the_recipe_and_runs_it():
    text = as_command(trainable())
    written = text.partition("<<'RECIPE'\n")[2].partition("RECIPE\n")[0]
    assert Recipe.from_yaml(written) == trainable()
    assert text.splitlines()[-1] == "python -m optim run recipe.yaml --out result"


def test_the_python_reads_the_same_recipe():
    tree = ast.parse(as_python(trainable()))
    (written,) = [
        n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and "\n" in str(n.value)
    ]
    assert Recipe.from_yaml(written) == trainable()


def test_the_program_runs_and_finds_what_was_reported(own_home, tmp_path):
    """Counts, bytes and quality are those of the report; a figure that is not is named."""
    recipe = Recipe("digits-mlp", "digits").with_step(PruneWeights(sparsity=0.5))
    result = run(recipe).to_json()
    found = _run(as_check(recipe, result), tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "Everything is as reported." in found.stdout
    assert found.stdout.count("belongs to the machine") == 2
    for end in ("value", "low", "high"):
        result["result"]["file"][end] += 1
    wrong = _run(as_check(recipe, result), tmp_path)
    assert wrong.returncode == 1
    assert "Figures that differ: 1." in wrong.stdout


def _run(program, folder):
    path = folder / "reproduce.py"
    path.write_text(program, encoding="utf-8")
    return subprocess.run(
        [sys.executable, path], capture_output=True, text=True, check=False, env=child_environment()
    )
