"""Tables of the reference pages come from annotated fields and nothing else."""

from typing import Annotated

import pytest

from optim.fields import Choice, Config, Method, PerLayer, Range, controls
from optim.techniques import TECHNIQUES
from optim.techniques.importances import IMPORTANCES, ImportanceMethod, Magnitude
from pages.components.reference import field_rows, method_rows, table_of


class Example(Config):
    """A config with one field of each kind."""

    ratio: Annotated[
        float, Range(low=0, high=0.95, step=0.05, unit="x", label="Ratio", help="How much.")
    ] = 0.5
    bits: Annotated[int, Choice(options={4: "4", 8: "8"}, unit="bits", label="B", help="Wide.")] = 8
    importance: Annotated[
        ImportanceMethod, Method(family=IMPORTANCES, label="Importance", help="Who goes.")
    ] = Magnitude()
    layers: Annotated[
        dict[str, float], PerLayer(overrides="ratio", label="Layers", help="Single layers.")
    ] = {}


def test_each_kind_of_field_says_what_is_allowed():
    rows = {row["Field"]: row for row in field_rows(Example)}
    assert rows["ratio"]["Allowed"] == "0 to 0.95 x"
    assert rows["bits"]["Allowed"] == "4, 8 bits"
    assert rows["importance"]["Allowed"] == ", ".join(IMPORTANCES)
    assert rows["layers"]["Allowed"] == "{layer: ratio}"


def test_defaults_are_written_as_in_a_recipe():
    rows = {row["Field"]: row["Default"] for row in field_rows(Example)}
    assert rows == {"ratio": "0.5", "bits": "8", "importance": "magnitude", "layers": "none"}


def test_methods_are_listed_with_their_source():
    rows = method_rows(Example)
    assert list(rows) == ["Importance"]
    by_name = {row["Name"]: row for row in rows["Importance"]}
    assert list(by_name) == list(IMPORTANCES)
    assert "arXiv:1708.06519" in by_name["bn_scale"]["Source"]
    assert by_name["taylor"]["Fields"].startswith("samples (")


def test_a_config_without_methods_has_no_table_of_methods():
    assert method_rows(TECHNIQUES["reestimate_batchnorm"]) == {}


@pytest.mark.parametrize("name", TECHNIQUES)
def test_no_field_of_any_technique_is_left_out_or_left_blank(name):
    rows = field_rows(TECHNIQUES[name])
    assert [row["Field"] for row in rows] == [c.name for c in controls(TECHNIQUES[name])]
    assert all(all(cell != "" for cell in row.values()) for row in rows)
    for methods in method_rows(TECHNIQUES[name]).values():
        assert all(row["Method"] and row["What it does"] for row in methods)


def test_a_table_says_what_is_written_and_nothing_is_read_as_html():
    table = table_of("Fields", [{"Field": "a<b", "Default": '"x"'}])
    assert "a&lt;b" in table
    assert 'data-label="Default">&quot;x&quot;</td>' in table
