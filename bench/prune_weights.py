"""Single weights set to zero without training: ours against magnitude as torch prunes.

``python bench/prune_weights.py``: a ResNet-20 for CIFAR-10 loses 50 to 90 % of its weights, or two
of every four. Ours refits the weights that stay on 512 training images without labels; criterion
and scope, magnitude over all layers for every share, were chosen on 1,000 validation images.
Accuracy is measured on all test images, once, both ways on the same.
"""

from __future__ import annotations

from typing import Any

import torch
from cifar import resnet20
from common import record
from torch.nn.utils import prune

from optim.layers.rewrite import replace_weights, weights_of
from optim.measure.evaluate import predict
from optim.measure.predictions import Predictions
from optim.models.bundle import ModelBundle
from optim.recipe import Recipe
from optim.step import Context
from optim.subject import Subject, open_subject
from optim.techniques.prune_weights import PruneWeights

SPARSITIES = (0.5, 0.7, 0.8, 0.9)
IMAGES = 512


def by_torch(bundle: ModelBundle, sparsity: float) -> ModelBundle:
    """Return the model pruned by ``torch.nn.utils.prune``: magnitude over all layers."""
    layers = {
        name: torch.nn.ParameterDict({"weight": weight.clone()})
        for name, weight in weights_of(bundle.module).items()
    }
    prune.global_unstructured(
        [(layer, "weight") for layer in layers.values()], prune.L1Unstructured, amount=sparsity
    )
    weights = {name: layer.weight.detach() for name, layer in layers.items()}
    return bundle.with_module(replace_weights(bundle.module, weights))


def measured(subject: Subject, bundle: ModelBundle, original: Predictions) -> Predictions:
    """Return what a model says about all test images."""
    found = predict(bundle, subject.samples("test"))
    found.check_same_samples(original)
    return found


def main() -> None:
    wanted = resnet20()
    if wanted is None:
        print("This bench needs ../shared/data/cifar10 and the weights beside it.")
        return
    subject = open_subject(Recipe(*wanted))
    context = Context(data=subject.data, reference=subject.bundle)
    original = predict(subject.bundle, subject.samples("test"))
    rows: dict[str, Any] = {"original": original.accuracy().to_json()}
    for share in (*SPARSITIES, "2:4"):
        step = (
            PruneWeights(pattern="2:4", reconstruct=True, calibration_samples=IMAGES)
            if share == "2:4"
            else PruneWeights(sparsity=share, reconstruct=True, calibration_samples=IMAGES)
        )
        ours = measured(subject, step.apply(subject.bundle, context).bundle, original)
        row = {"ours": ours.accuracy(), "lost": ours.against(original).difference}
        if share != "2:4":  # torch prunes no such pattern
            peer = measured(subject, by_torch(subject.bundle, float(share)), original)
            row |= {"torch": peer.accuracy(), "gain": ours.against(peer).difference}
        rows[str(share)] = {name: figure.to_json() for name, figure in row.items()}
        print(share, *(f"{name} {figure}" for name, figure in row.items()), flush=True)
    record("prune_weights", rows)


if __name__ == "__main__":
    main()
