"""The ladder and the explanations: they answer for every device, and say what to do."""

import json

import pytest

from optim.devices import own
from optim.devices.profile import catalogue
from optim.techniques.quantize import Quantize
from tests.optim.devices.test_calibration import made
from tests.pages.helpers import click, open_app, recipe_of, small_recipe, texts


def open_ladder(recipe):
    return open_app(recipe).switch_page("pages/devices/ladder.py").run()


def open_why(recipe):
    return open_app(recipe).switch_page("pages/devices/no_speed_up.py").run()


@pytest.fixture
def probed():
    own.keep_here(json.dumps(made()).encode())
    yield
    own._here().unlink()


def test_it_counts_the_devices_and_answers_for_each_of_them(lab):
    at = lab.switch_page("pages/devices/ladder.py").run()
    assert not at.exception
    assert not at.error
    assert f"of {len(catalogue())}** devices" in texts(at)
    at.segmented_control(key="ladder_group").set_value("All").run()
    at.toggle(key="ladder_table").set_value(True).run()
    (table,) = at.dataframe
    assert len(table.value) == len(catalogue()) >= 30
    answers = table.value["Fits"].str.split(":").str[0].value_counts()
    assert set(answers.index) == {"yes", "no", "memory not known"}
    assert f"fits **{answers['yes']} of" in texts(at)
    assert f"For {answers['memory not known']} more" in texts(at)


def test_a_device_that_cannot_run_it_proposes_what_would_and_takes_it_to_the_lab(lab):
    at = open_ladder(small_recipe(steps=[]))
    at.segmented_control(key="ladder_group").set_value("Board").run()
    (picker,) = [box for box in at.selectbox if box.label == "Device"]
    picker.set_value("coral-usb").run()
    assert "computes int8 on this device" in texts(at)
    assert "8-bit weights and activations" in texts(at)
    click(at, "Try it in the Lab")
    (entry,) = recipe_of(at).active
    assert isinstance(entry.step, Quantize)


def test_a_processor_without_vnni_says_what_its_sums_cost(lab):
    at = open_ladder(small_recipe(steps=[{"quantize": {"samples": 32}}]))
    at.segmented_control(key="ladder_group").set_value("Data centre").run()
    (picker,) = [box for box in at.selectbox if box.label == "Device"]
    picker.set_value("xeon-8380").run()
    assert "VNNI: 8-bit sums" not in texts(at)
    picker.set_value("xeon-8180").run()
    assert not at.exception
    assert "This processor has no VNNI: 8-bit sums may saturate" in texts(at)
    assert "With weights of reduced range, -64 to 63, none does" in texts(at)
    click(at, "Try it in the Lab")
    (entry,) = recipe_of(at).active
    assert entry.step.reduce_range


def test_a_model_without_steps_has_nothing_to_explain(lab):
    at = open_why(small_recipe(steps=[]))
    assert "Nothing is done to the model yet" in texts(at)
    assert not at.error


@pytest.mark.parametrize("open_page", [open_ladder, open_why])
def test_a_step_that_is_not_trained_yet_is_said_to_be_left_out(lab, open_page):
    at = open_page(small_recipe(steps=[{"prune_weights": {"sparsity": 0.5}}, {"finetune": {}}]))
    assert not at.exception
    assert "Left out, because not trained yet: Fine-tune." in texts(at)


def test_steps_that_leave_the_work_as_it_is_are_told_in_one_line(lab):
    at = open_why(small_recipe())
    at.selectbox(key="speed_device").set_value("raspberry-pi-4").run()
    assert not at.exception
    assert "Re-estimate batch norm: changes the values of weights" in texts(at)
    assert "without the step" in texts(at)
    assert "multiplies in int8 is not known" in texts(at)


def test_on_this_machine_an_explanation_stands_beside_a_measurement(lab, probed):
    at = open_why(small_recipe())
    assert at.selectbox(key="speed_device").value == "here"
    assert "Measured here, in turns" in texts(at)
    at.toggle(key="layers_prune_channels").set_value(True).run()
    assert not at.exception
    assert "crosses were measured" in texts(at)


def test_energy_is_split_and_lasts_as_long_as_a_battery(lab):
    at = open_ladder(small_recipe())
    at.segmented_control(key="ladder_group").set_value("Microcontroller").run()
    (picker,) = [box for box in at.selectbox if box.label == "Device"]
    picker.set_value("nucleo-l4r5zi").run()
    at.toggle(key="rung_energy").set_value(True).run()
    assert not at.exception
    assert not at.error
    found = texts(at)
    assert "Energy of one inference" in found
    assert "Battery, now" in found
    assert "Repaid after" in found


@pytest.mark.parametrize(
    "name",
    [
        "lenet-5",
        pytest.param("resnet20", marks=pytest.mark.slow),
        pytest.param("mobilenetv2", marks=pytest.mark.slow),
    ],
)
def test_networks_of_the_zoo_stand_on_every_device(lab, name):
    at = lab.switch_page("pages/devices/ladder.py").run()
    at.selectbox(key="ladder_model").set_value(name).run()
    at.segmented_control(key="ladder_group").set_value("All").run()
    at.toggle(key="ladder_table").set_value(True).run()
    assert not at.exception
    assert not at.error
    (table,) = at.dataframe
    assert len(table.value) >= 30
    assert not any(b.label == "Try it in the Lab" for b in at.button)
