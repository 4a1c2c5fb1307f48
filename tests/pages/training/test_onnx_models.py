"""Models that came as ONNX files, on the pages: what works does, the rest says why."""

import pytest

from optim.errors import ConfigError
from optim.export.deploy import onnx_bytes
from optim.library import add_model
from optim.models.open import open_registered_model
from optim.recipe import Recipe
from optim.runner import run
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.quantize import Quantize
from tests.helpers import context_for
from tests.pages.helpers import MODEL, open_app

CONVERTED, KEPT = "brought-resnet", "kept-resnet"


@pytest.fixture
def brought(lab, tmp_path):
    """The quick model of the store, added anew as an ONNX file in both lanes."""
    bundle = open_registered_model(MODEL)
    quantized = Quantize(samples=32).apply(bundle, context_for(bundle)).bundle
    for name, file in ((CONVERTED, onnx_bytes(bundle)), (KEPT, onnx_bytes(quantized))):
        (tmp_path / f"{name}.onnx").write_bytes(file)
        add_model(tmp_path / f"{name}.onnx", data="digits", title=name, name=name)
    return lab


def test_the_lab_compresses_a_converted_model(brought):
    at = open_app(Recipe(CONVERTED, "digits").with_step(PruneChannels(pruning_ratio=0.5)))
    assert not at.exception
    assert not at.error


def test_the_lab_opens_on_a_graph_that_cannot_be_changed(brought):
    recipe = Recipe(KEPT, "digits").with_step(PruneChannels(pruning_ratio=0.5))
    assert not open_app(recipe).exception
    with pytest.raises(ConfigError, match="stores integers"):
        run(recipe, registered_only=True)


@pytest.mark.parametrize("page", ["regularisation", "speed"])
def test_pages_that_vary_an_architecture_say_that_there_is_none(brought, page):
    at = open_app(Recipe(CONVERTED, "digits"))
    at.switch_page(f"pages/training/{page}.py").run()
    assert not at.exception
    said = [str(box.value) for box in (*at.error, *at.warning, *at.info)]
    assert any("its architecture has no fields to vary" in text for text in said), said


def test_a_fresh_student_learns_from_a_converted_teacher(brought):
    at = open_app(Recipe(CONVERTED, "digits"))
    at.switch_page("pages/training/distillation.py").run()
    assert not at.exception
    at.segmented_control(key="lesson_student").set_value("fresh").run()
    assert not at.exception
    assert any("networks" in button.label for button in at.button)
