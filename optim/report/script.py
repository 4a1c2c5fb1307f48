"""A recipe as something to paste or to keep: for a shell, for Python, or to check a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from optim.recipe import Recipe

__all__ = ["as_check", "as_command", "as_python"]


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


def as_check(recipe: Recipe, result: Mapping[str, Any]) -> str:
    """Return a program that runs a recipe and compares what comes out with a stored scorecard.

    It ends with code 1 where counts or bytes differ, or where quality lies outside of the interval
    that was reported; latency belongs to a machine and is only shown.

    Args:
        recipe: What was run.
        result: The scorecard of the run, plain data.
    """
    reported = {side: result[side] for side in ("baseline", "result")}
    return _CHECK.format(
        recipe=json.dumps(recipe.to_yaml()), reported=json.dumps(json.dumps(reported))
    )


_CHECK = '''\
"""Run the recipe of a report again, and compare what comes out with what was reported."""

import json
import sys

import optim

RECIPE = {recipe}
REPORTED = json.loads({reported})


def main():
    found = optim.run(optim.Recipe.from_yaml(RECIPE)).to_json()
    wrong = 0
    for side in ("baseline", "result"):
        for name, value in REPORTED[side].items():
            if not isinstance(value, dict) or "unit" not in value:
                continue
            now = found[side][name]["value"]
            if name == "latency":
                word = "belongs to the machine"
            elif value["low"] <= now <= value["high"]:
                word = "as reported"
            else:
                word, wrong = "differs", wrong + 1
            print(f"{{side:9}} {{name:12}} {{value['value']:>14.6g}} {{now:>14.6g}}  {{word}}")
    print(f"Figures that differ: {{wrong}}." if wrong else "Everything is as reported.")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
'''
