"""A recipe as something to paste: into a shell, or into Python."""

from __future__ import annotations

from optim.recipe import Recipe

__all__ = ["as_command", "as_python"]


def as_command(recipe: Recipe) -> str:
    """Return shell commands that run a recipe."""
    return (
        f"cat > recipe.yaml <<'RECIPE'\n{recipe.to_yaml()}RECIPE\n"
        "python -m optim run recipe.yaml --out result"
    )


def as_python(recipe: Recipe) -> str:
    """Return Python that runs a recipe."""
    return (
        "import optim\n\n"
        f'recipe = optim.Recipe.from_yaml("""\n{recipe.to_yaml()}""")\n'
        'result = optim.run(recipe)\nprint(result.verdict)\nresult.save("result")'
    )
