"""Models that came as ONNX files, on the pages: what works does, the rest says why."""

import pytest

from optim.errors import ConfigError
from optim.export.deploy import onnx_bytes
from optim.library import add_model
from optim.models.open import open_registered_model
from optim.presets import PRESETS
from optim.recipe import Recipe
from optim.runner import run
from optim.techniques import TECHNIQUES
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.prune_weights import PruneWeights
from tests.helpers import as_a_graph
from tests.pages.helpers import MODEL, open_app, panel_data, presets_marked, tell

CONVERTED, KEPT = "brought-resnet", "kept-resnet"


@pytest.fixture
def brought(lab, tmp_path):
    """The quick model of the store, added anew as an ONNX file in both lanes."""
    bundle = open_registered_model(MODEL)
    trainable = onnx_bytes(bundle)
    for name, file in ((CONVERTED, trainable), (KEPT, as_a_graph(trainable))):
        (tmp_path / f"{name}.onnx").write_bytes(file)
        add_model(tmp_path / f"{name}.onnx", data="digits", title=name, name=name)
    return lab


def test_the_lab_compresses_a_converted_model(brought):
    at = open_app(Recipe(CONVERTED, "digits").with_step(PruneChannels(pruning_ratio=0.5)))
    assert not at.exception
    assert not at.error


def test_the_lab_says_what_cannot_change_a_graph_and_moves_the_rest(brought):
    recipe = Recipe(KEPT, "digits").with_step(PruneWeights(sparsity=0.5))
    at = open_app(recipe)
    assert not at.exception
    assert not at.error
    data = panel_data(at)
    assert "stores integers" in data["refused"]["prune_channels"]
    assert data["refused"].keys() == {n for n, t in TECHNIQUES.items() if "graph" not in t.lanes}
    for preset in PRESETS:
        tell(at, "command", name="preset", value=preset)
        on = {e["technique"] for e in panel_data(at)["entries"] if e["enabled"]}
        assert on == {"prune_weights", "quantize"}
        assert presets_marked(at) == [preset]
    (recover,) = [button for button in at.button if button.label == "Recover accuracy"]
    assert recover.disabled
    assert "stores integers" in recover.help


@pytest.mark.parametrize("section", ["Layers", "Classes", "Weights", "Sizes", "Files", "Recipe"])
def test_every_section_shows_a_graph(brought, section):
    at = open_app(Recipe(KEPT, "digits").with_step(PruneWeights(sparsity=0.5)))
    at.segmented_control(key="more_section").set_value(section).run()
    assert not at.exception
    assert not at.error


def test_a_step_that_cannot_change_a_graph_is_refused(brought):
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
