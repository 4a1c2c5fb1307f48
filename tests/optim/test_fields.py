"""Field kinds: sliders, validation and what a browser needs to draw them."""

import json
from typing import Annotated, ClassVar, Literal

import pytest

from optim.data import DATASETS
from optim.errors import ConfigError
from optim.fields import Choice, Config, Method, MethodConfig, Models, PerLayer, Range, controls
from optim.models.zoo import ARCHITECTURES
from optim.techniques import TECHNIQUES


class Sharp(MethodConfig):
    title: ClassVar[str] = "Sharp"
    edge: Annotated[float, Range(low=0, high=1, step=0.25, label="Edge", help="How sharp.")] = 0.5


class Blunt(MethodConfig):
    title: ClassVar[str] = "Blunt"


class Knife(Config):
    length: Annotated[int, Range(low=5, high=25, step=5, label="Length", help="In cm.")] = 10
    metal: Annotated[
        Literal["steel", 8, True], Choice(options={"steel": "Steel", 8: "8"}, label="M", help="M.")
    ] = "steel"
    blade: Annotated[
        MethodConfig, Method(family={"sharp": Sharp, "blunt": Blunt}, label="B", help="B.")
    ] = Sharp()
    layers: Annotated[
        dict[str, int | str], PerLayer(overrides="length", skip="none", label="L", help="L.")
    ] = {}


@pytest.mark.parametrize(
    ("kind", "stops"),
    [
        (Range(low=0, high=1, step=0.25, label="", help=""), [0, 0.25, 0.5, 0.75, 1]),
        (Range(low=0, high=0.3, step=0.1, label="", help=""), [0, 0.1, 0.2, 0.3]),
        (Range(low=16, high=128, step=1, scale="log", label="", help=""), [16, 32, 64, 128]),
        (
            Range(low=0.002, high=0.1, step=0.001, scale="decades", label="", help=""),
            [0.002, 0.005, 0.01, 0.02, 0.05, 0.1],
        ),
        (Range(low=3, high=9, step=3, label="", help=""), [3, 6, 9]),
    ],
)
def test_a_slider_stops_where_it_should(kind, stops):
    assert kind.stops() == stops


def all_configs():
    families = [TECHNIQUES, ARCHITECTURES, DATASETS]
    configs = [cls for family in families for cls in family.values()]
    methods = [
        member
        for cls in TECHNIQUES.values()
        for control in controls(cls)
        if isinstance(control.kind, Method)
        for member in control.kind.family.values()
    ]
    return list(dict.fromkeys([*configs, *methods]))


@pytest.mark.parametrize("cls", all_configs(), ids=lambda c: c.__name__)
def test_every_stop_of_every_slider_is_legal_and_holds_the_default(cls):
    for control in controls(cls):
        json.dumps(control.to_json(), allow_nan=False)
        if isinstance(control.kind, Range):
            stops = control.kind.stops()
            assert stops == sorted(stops)
            assert (stops[0], stops[-1]) == (control.kind.low, control.kind.high)
            assert control.kind.low <= control.default <= control.kind.high
            whole = isinstance(control.default, int)
            for stop in {stops[0], stops[len(stops) // 3], stops[-1]}:
                changed = cls(**{control.name: int(stop) if whole else stop})
                assert getattr(changed, control.name) == stop
            if len(stops) < 200:
                assert any(abs(stop - control.default) < 1e-9 for stop in stops), control.name
        elif isinstance(control.kind, Choice):
            assert control.default in control.kind.options
            for value in control.kind.options:
                assert getattr(cls(**{control.name: value}), control.name) == value


def test_values_between_stops_are_legal():
    assert Knife(length=7).length == 7


@pytest.mark.parametrize("value", [4, 26, -1, float("nan"), float("inf"), "long", None, [], 7.5])
def test_what_is_outside_is_refused_by_name(value):
    with pytest.raises(ConfigError) as caught:
        Knife(length=value)
    assert caught.value.field == "length"
    assert "length" in caught.value.message


def test_the_nearest_legal_value_is_named():
    with pytest.raises(ConfigError, match=r"got 26. The nearest allowed value is 25"):
        Knife(length=26)


@pytest.mark.parametrize("value", ["iron", True, 8.0, "8", None, [], {}, ("steel",)])
def test_a_choice_takes_its_options_and_their_types_only(value):
    with pytest.raises(ConfigError, match="metal must be one of steel, 8: got") as caught:
        Knife(metal=value)
    assert caught.value.field == "metal"


def test_a_method_is_written_by_name_and_with_fields_where_they_differ():
    assert Knife(blade="blunt").model_dump(mode="json")["blade"] == "blunt"
    assert Knife(blade="sharp").blade == Sharp()
    fine = Knife(blade={"sharp": {"edge": 1}})
    assert fine.changed() == {"blade": {"sharp": {"edge": 1.0}}}
    assert Knife(**fine.changed()) == fine


def test_a_methods_field_is_named_within_the_field():
    with pytest.raises(ConfigError, match="edge must be between 0 and 1: got 3") as caught:
        Knife(blade={"sharp": {"edge": 3}})
    assert caught.value.field == "blade.edge"
    with pytest.raises(ConfigError, match="blade must be one of sharp, blunt: got 'wavy'"):
        Knife(blade="wavy")


def test_layers_take_what_the_field_they_replace_takes():
    assert Knife(layers={"a": 25, "b": "none"}).layers == {"a": 25, "b": "none"}
    with pytest.raises(ConfigError, match="a: length must be between 5 and 25: got 26") as caught:
        Knife(layers={"a": 26})
    assert caught.value.field == "layers.a"


def test_configurations_are_frozen_values():
    assert Knife() == Knife(length=10)
    assert Knife(length=15) != Knife()
    with pytest.raises(ValueError, match="frozen"):
        Knife().length = 3


def test_a_copy_is_validated():
    assert Knife().replace(length=20).length == 20
    with pytest.raises(ConfigError):
        Knife().replace(length=2)


def test_a_field_needs_exactly_one_kind():
    class Bare(Config):
        length: int = 3

    with pytest.raises(TypeError, match="needs exactly one field kind"):
        controls(Bare)


def test_a_control_says_what_a_browser_needs():
    data = {control.name: control.to_json() for control in controls(Knife)}
    assert data["length"]["stops"] == [5, 10, 15, 20, 25]
    assert data["metal"]["options"][0] == {"value": "steel", "label": "Steel"}
    assert data["blade"]["family"]["sharp"]["fields"][0]["name"] == "edge"
    assert data["layers"] == {
        "name": "layers",
        "label": "L",
        "help": "L.",
        "unit": "",
        "expert": False,
        "when": {},
        "default": {},
        "kind": "per_layer",
        "overrides": "length",
        "skip": "none",
    }


# --- models -------------------------------------------------------------------------------------


class School(Config):
    teacher: Annotated[tuple[str, ...], Models(most=2, label="T", help="T.")] = ("original",)


def test_one_model_is_written_as_its_name_and_several_as_a_list():
    assert School().changed() == {}
    assert School(teacher="original") == School()
    assert School(teacher="a-b.c").changed() == {"teacher": "a-b.c"}
    both = School(teacher=["original", "b"])
    assert both.teacher == ("original", "b")
    assert both.changed() == {"teacher": ["original", "b"]}
    assert both.replace() == School(**both.changed()) == both


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "must name 1 to 2 models: got []"),
        (["a", "b", "c"], "must name 1 to 2 models"),
        (7, "must name 1 to 2 models: got 7"),
        ("../a", "must be names of trained models: got '../a'"),
        (["a", None], "must be names of trained models: got None"),
        (["a", "a"], "must name each model once: got a, a"),
    ],
)
def test_what_cannot_name_models_is_refused(value, message):
    with pytest.raises(ConfigError) as caught:
        School(teacher=value)
    assert message in caught.value.message
    assert caught.value.field == "teacher"


def test_a_browser_is_told_how_many_models_may_be_named():
    (control,) = controls(School)
    assert control.to_json()["kind"] == "models"
    assert control.to_json()["most"] == 2
    assert control.to_json()["default"] == "original"
