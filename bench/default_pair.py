"""Is the default model on the default data informative? Every slider must cost something.

The pair is accepted only if, on the validation split: 50 % sparsity costs 1-3 points and 90 % more
than 15; 4-bit weights with min-max scales cost 0.5-3 points and 3-bit more than 5; removing half
the channels cuts batch-1 latency at least 1.4x; re-estimating batch norm wins back at least 5
points somewhere; and one minute of distillation on 2 cores returns to within 1 point from 30 % of
the channels removed, which alone leaves a wreck. From half of them the rest is capacity, not time.
"""

from __future__ import annotations

import time

from common import record

from optim.export.deploy import onnx_bytes
from optim.measure.evaluate import predict
from optim.measure.latency import compare_files
from optim.models.cards import model_cards
from optim.recipe import Recipe
from optim.runner import apply_recipe
from optim.subject import open_subject
from optim.techniques.distill import Distill
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from optim.techniques.reestimate_batchnorm import ReestimateBatchNorm

MODEL, DATA = "clutter-resnet8", "cluttered-digits"


def main() -> None:
    empty = Recipe(MODEL, DATA)
    subject = open_subject(empty)
    samples = subject.samples()
    baseline = predict(subject.bundle, samples)

    def build(*steps):
        recipe = empty
        for step in steps:
            recipe = recipe.with_step(step)
        return apply_recipe(recipe, subject)[0]

    def points(*steps):
        return predict(build(*steps), samples).against(baseline).difference.value

    def weights(bits, granularity):
        return Quantize(
            weight_bits=bits,
            activation_bits="float",
            granularity=granularity,
            weight_calibration="minmax",
        )

    def distil(ratio, epochs):
        start = time.perf_counter()
        student = build(
            PruneChannels(pruning_ratio=ratio), ReestimateBatchNorm(), Distill(epochs=epochs)
        )
        seconds = time.perf_counter() - start
        difference = predict(student, samples).against(baseline).difference
        return {"epochs": epochs, "seconds": seconds, "points": difference.to_json()}

    sparsity = {s: points(PruneWeights(sparsity=s)) for s in (0.5, 0.7, 0.8, 0.9)}
    bits = {
        f"{b} bits {g}": points(weights(b, g))
        for b in (5, 4, 3, 2)
        for g in ("per_tensor", "per_channel")
    }
    channels = {r: points(PruneChannels(pruning_ratio=r)) for r in (0.1, 0.2, 0.3, 0.5)}
    regained = {
        **{
            f"sparsity {s}": points(PruneWeights(sparsity=s), ReestimateBatchNorm()) - sparsity[s]
            for s in (0.7, 0.8, 0.9)
        },
        **{
            f"channels {r}": points(PruneChannels(pruning_ratio=r), ReestimateBatchNorm())
            - channels[r]
            for r in (0.1, 0.2, 0.3, 0.5)
        },
    }
    half = build(PruneChannels(pruning_ratio=0.5))
    one = subject.bundle.spec.normalise(samples.inputs[:1]).numpy()
    pair = compare_files(onnx_bytes(subject.bundle), onnx_bytes(half), one, threads=1, rounds=100)
    distilled = {0.3: distil(0.3, epochs=6), 0.5: distil(0.5, epochs=12)}
    faster = 1 / pair.change.difference.value
    tensor_4, tensor_3 = bits["4 bits per_tensor"], bits["3 bits per_tensor"]
    record(
        "default_pair",
        {
            "params": model_cards()[MODEL].params,
            "macs": model_cards()[MODEL].macs,
            "accuracy_validation": baseline.accuracy().to_json(),
            "accuracy_test": model_cards()[MODEL].accuracy["test"].to_json(),
            "points_by_sparsity": sparsity,
            "points_by_weight_bits_minmax": bits,
            "points_by_channels_removed": channels,
            "points_regained_by_batchnorm": regained,
            "latency_half_the_channels": {
                "original_ms": pair.baseline.value,
                "half_ms": pair.candidate.value,
                "faster": faster,
            },
            "distillation_by_channels_removed": distilled,
            "accepted": {
                "accuracy 90-94 %": 0.90 <= baseline.accuracy().value <= 0.94,
                "50 % sparsity costs 1-3 points": 1 <= -sparsity[0.5] <= 3,
                "90 % sparsity costs more than 15": -sparsity[0.9] > 15,
                "4 bits cost 0.5-3 (per tensor)": 0.5 <= -tensor_4 <= 3,
                "3 bits cost more than 5 (per tensor)": -tensor_3 > 5,
                "half the channels >= 1.4x faster": faster >= 1.4,
                "batch norm regains >= 5 points": max(regained.values()) >= 5,
                "one minute of distillation within 1 point": distilled[0.3]["seconds"] <= 60
                and distilled[0.3]["points"]["value"] >= -1,
            },
        },
    )


if __name__ == "__main__":
    main()
