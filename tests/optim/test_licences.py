"""What is needed is listed with its licence, down to what the needed needs."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from optim.cli import cli
from optim.data import DATASETS
from optim.licences import SHIPPED, packages

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found():
    return {re.sub(r"[-_.]+", "-", each.name).lower(): each for each in packages()}


def test_everything_that_is_required_is_listed_with_its_version(found):
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(re.match(r"([\w.-]+)==([\w.]+)", line).groups() for line in lines if "==" in line)
    for name, version in pinned.items():
        assert found[name.lower()].version.startswith(version)


def test_what_the_required_require_is_listed_too(found):
    assert "protobuf" in found, "onnx needs it, and requirements.txt does not name it"
    assert "pytest" not in found, "tests need it, and the program does not"


def test_licences_are_names_and_not_texts(found):
    assert found["numpy"].licence.startswith("BSD-3-Clause")
    assert all(len(each.licence) < 200 and "\n" not in each.licence for each in found.values())


def test_every_data_set_that_ships_has_a_licence():
    assert set(DATASETS) <= {each.name for each in SHIPPED}


def test_json_is_as_documented():
    result = CliRunner().invoke(cli, ["licences", "--json"])
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    schema = json.loads((ROOT / "docs/schemas/licences-1.json").read_text(encoding="utf-8"))
    jsonschema.validate(told, schema)
    assert {each["name"] for each in told["shipped"]} == {each.name for each in SHIPPED}
