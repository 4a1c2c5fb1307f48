"""What is copied runs the same recipe."""

import ast

from optim.recipe import Recipe
from pages.components.runs.commands import as_command, as_python
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
