"""A registered tiny model and data that the engine can open, in a store of the session."""

import json

import pytest

from optim.measure.macs import layer_costs
from optim.models.checkpoint import save_checkpoint
from optim.models.zoo import architecture_to_json
from optim.recipe import Recipe
from optim.storage import store_home
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from optim.techniques.reestimate_batchnorm import ReestimateBatchNorm
from optim.whatif.engine import Engine


@pytest.fixture(scope="session")
def registered(trained, optim_home):
    """The name of a trained model in the store; it belongs to the plain digits."""
    bundle, _ = trained
    folder = store_home() / "models"
    save_checkpoint(bundle, folder / "tiny-digits.safetensors")
    card = {
        "title": "Tiny",
        "data": "digits",
        "architecture": architecture_to_json(bundle.content.architecture),
        "params": 1,
        "macs": sum(c.macs for c in layer_costs(bundle.module, bundle.spec.shape)),
    }
    (folder / "tiny-digits.json").write_text(json.dumps(card))
    return "tiny-digits"


@pytest.fixture
def recipe(registered):
    """Every training-free step, mild."""
    return (
        Recipe(registered, "digits")
        .with_step(PruneChannels(pruning_ratio=0.25))
        .with_step(PruneWeights(sparsity=0.3))
        .with_step(ReestimateBatchNorm(samples=128))
        .with_step(Quantize(samples=64))
    )


@pytest.fixture
def engine():
    return Engine(registered_only=True)


@pytest.fixture
def small_chunks(monkeypatch):
    """Cut the 362 validation samples into twelve chunks."""
    monkeypatch.setattr("optim.whatif.engine._CHUNKS", (32,))


@pytest.fixture
def applied(monkeypatch):
    """Count how often each technique is applied."""
    from optim.techniques import TECHNIQUES

    counts = dict.fromkeys(TECHNIQUES, 0)
    for name, cls in TECHNIQUES.items():

        def counted(self, bundle, context, *, name=name, plain=cls.apply):
            counts[name] += 1
            return plain(self, bundle, context)

        monkeypatch.setattr(cls, "apply", counted)
    return counts
