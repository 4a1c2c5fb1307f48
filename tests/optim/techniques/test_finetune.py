"""Training on wins back what pruning cost, keeps masks, and never sees the test part."""

from dataclasses import replace

import pytest

from optim.data import trained_on
from optim.errors import CalibrationError
from optim.layers.rewrite import weights_of
from optim.measure.evaluate import predict
from optim.techniques.finetune import FineTune
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.prune_weights import PruneWeights
from tests.helpers import context_for, data_for

QUICK = {"epochs": 1, "batch_size": 32}


def test_it_wins_back_what_pruning_cost(trained):
    bundle, data = trained
    context = context_for(bundle, data=data)
    samples = data.part("validation")
    pruned = PruneWeights(sparsity=0.9).apply(bundle, context).bundle
    tuned = FineTune(epochs=2, batch_size=64, shift=0).apply(pruned, context).bundle
    change = predict(tuned, samples).against(predict(pruned, samples))
    assert change.direction == "better"
    assert change.difference.low > 5
    assert predict(tuned, samples).accuracy().value > 0.95


def test_a_model_with_fewer_channels_is_trained_as_it_is(tiny_cnn):
    context = context_for(tiny_cnn)
    small = PruneChannels(pruning_ratio=0.5).apply(tiny_cnn, context).bundle
    tuned = FineTune(**QUICK).apply(small, context).bundle
    before, after = weights_of(small.module), weights_of(tuned.module)
    assert {n: w.shape for n, w in after.items()} == {n: w.shape for n, w in before.items()}
    assert all((before[name] != after[name]).any() for name in before)


@pytest.mark.parametrize(
    "fields",
    [{}, {"optimizer": "adamw", "learning_rate": 0.005}, {"average": 0.5, "mixup": 0.5}],
    ids=["sgd", "adamw", "average"],
)
def test_pruned_weights_stay_zero_while_training(tiny_cnn, fields):
    context = context_for(tiny_cnn)
    sparse = PruneWeights(sparsity=0.6).apply(tiny_cnn, context).bundle
    tuned = FineTune(**{**QUICK, "epochs": 2, **fields}).apply(sparse, context).bundle
    for name, weight in weights_of(tuned.module).items():
        assert not weight[~sparse.table.masks[name]].any()
        assert weight[sparse.table.masks[name]].all()
    assert tuned.table.masks.keys() == sparse.table.masks.keys()


def test_what_it_has_seen_is_declared_and_test_samples_are_never_read(tiny_mlp):
    data = data_for(tiny_mlp)
    tuned = FineTune(keep="best", **QUICK).apply(tiny_mlp, context_for(tiny_mlp, data=data)).bundle
    assert tuned.provenance.seen == trained_on(data)
    assert set(data._loaded) == {"train", "validation"}


def test_epochs_are_recorded_with_their_figures(tiny_mlp):
    rows = []
    context = replace(context_for(tiny_mlp), record=rows.append)
    FineTune(epochs=3, batch_size=32).apply(tiny_mlp, context)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert {"loss", "accuracy", "train_accuracy", "learning_rate", "seconds"} <= rows[0].keys()


def test_progress_is_told_after_every_epoch(tiny_mlp):
    told = []
    context = replace(
        context_for(tiny_mlp), progress=lambda share, what: told.append((share, what))
    )
    FineTune(epochs=3, batch_size=32).apply(tiny_mlp, context)
    assert [share for share, _ in told] == pytest.approx([1 / 3, 2 / 3, 1])
    assert told[0][1].startswith("epoch 1 of 3, loss ")


def test_another_seed_is_another_training(tiny_mlp):
    first, second = (
        FineTune(**QUICK).apply(tiny_mlp, context_for(tiny_mlp, seed=seed)).bundle
        for seed in (1, 2)
    )
    assert first.hash != second.hash


def test_unsplit_data_cannot_train(tiny_mlp):
    data = data_for(tiny_mlp)
    unsplit = replace(data, parts={"all": 64}, load=lambda part: data.part("train"))
    with pytest.raises(CalibrationError, match="no training part"):
        FineTune(**QUICK).apply(tiny_mlp, context_for(tiny_mlp, data=unsplit))


def test_data_of_one_class_are_refused(tiny_mlp):
    data = data_for(tiny_mlp)

    def load(part):
        samples = data.part(part)
        return replace(samples, targets=samples.targets * 0 + 3)

    context = context_for(tiny_mlp, data=replace(data, load=load))
    with pytest.raises(CalibrationError, match="of class 3; training needs at least two classes"):
        FineTune(**QUICK).apply(tiny_mlp, context)
