"""Every field reaches the loop; what has no meaning is said; which layers are frozen."""

from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import nn

import optim.train
from optim.errors import Cancelled
from optim.fields import Choice, controls
from optim.layers.rewrite import weights_of
from optim.techniques.finetune import FineTune
from optim.techniques.training import Trained, TrainingStep
from optim.train.compute import Precision
from optim.train.schedule import OptimizerName, ScheduleShape
from tests.helpers import context_for, data_for, tiny_bundle


@pytest.fixture
def asked(monkeypatch, tiny_cnn):
    """Apply a step and return what the loop was asked for; nothing is trained."""

    def ask(**fields):
        found = {}

        def watch(module, inputs, targets, objective, schedule, **options):
            found.update(options, objective=objective, schedule=schedule, inputs=inputs)
            return (optim.train.Epoch(1, 1.0, 0.1),)

        monkeypatch.setattr(optim.train, "fit", watch)
        context = fields.pop("context", None) or context_for(tiny_cnn)
        FineTune(**fields).apply(tiny_cnn, context)
        return found

    return ask


REACHES = {
    "epochs": (7, lambda o: o["schedule"].epochs == 7),
    "learning_rate": (0.02, lambda o: o["schedule"].learning_rate == 0.02),
    "batch_size": (48, lambda o: o["schedule"].batch_size == 48),
    "optimizer": ("adamw", lambda o: o["schedule"].optimizer == "adamw"),
    "shape": ("step", lambda o: o["schedule"].shape == "step"),
    "warmup": (0.3, lambda o: o["schedule"].warmup == 0.3),
    "momentum": (0.8, lambda o: o["schedule"].momentum == 0.8),
    "clip": (1.5, lambda o: o["schedule"].clip == 1.5),
    "weight_decay": (0.01, lambda o: o["schedule"].weight_decay == 0.01),
    "l1": (0.0005, lambda o: o["schedule"].l1 == 0.0005),
    "start_resolution": (0.5, lambda o: o["schedule"].start_resolution == 0.5),
    # In proportion: the images of the tiny model have 16 pixels, not 32.
    "shift": (8, lambda o: o["augment"].shift == 4),
    "flip": (True, lambda o: o["augment"].flip is True),
    "cutout": (16, lambda o: o["augment"].cutout == 8),
    "mixup": (0.3, lambda o: o["mix"].mixup == 0.3),
    "cutmix": (0.7, lambda o: o["mix"].cutmix == 0.7),
    # Two epochs of two steps each: the average is four steps long.
    "average": (2.0, lambda o: o["average"] == pytest.approx(1 - 1 / 5)),
    "keep": ("best", lambda o: o["stopping"].keep == "best"),
    "patience": (4, lambda o: o["stopping"].patience == 4),
    "freeze": (0.5, lambda o: "conv1" in o["frozen"] and "linear" not in o["frozen"]),
    "precision": ("bfloat16", lambda o: o["compute"].precision == "bfloat16"),
    "layout": ("contiguous", lambda o: o["compute"].channels_last is False),
    "compile": (True, lambda o: o["compute"].compile is True),
}
LOSS = {"label_smoothing": 0.2, "class_weights": "balanced"}
"""Fields that decide the loss."""


def test_every_field_is_in_this_test():
    assert {control.name for control in controls(TrainingStep)} == {*REACHES, *LOSS}


@pytest.mark.parametrize("field", REACHES)
def test_every_field_reaches_the_loop(asked, field):
    value, reaches = REACHES[field]
    plain = asked(batch_size=48) if field != "batch_size" else asked()
    assert not reaches(plain), "the default is another value, or nothing would be shown"
    assert reaches(asked(**{"batch_size": 48, field: value}))


@pytest.mark.parametrize("field", LOSS)
def test_fields_of_the_loss_reach_it(asked, tiny_cnn, field):
    data = data_for(tiny_cnn, train=90)  # of four classes, two have one sample more
    context = context_for(tiny_cnn, data=data)
    outputs, targets = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 0])
    losses = [
        asked(context=context, **fields)["objective"](outputs, targets, None)
        for fields in ({}, {field: LOSS[field]})
    ]
    assert losses[0] == torch.nn.functional.cross_entropy(outputs, targets)
    assert losses[1] != losses[0]


def test_choices_are_those_of_the_loop():
    choices = [c for c in controls(TrainingStep) if isinstance(c.kind, Choice)]
    options = {choice.name: set(choice.kind.options) for choice in choices}
    assert options["optimizer"] == set(get_args(OptimizerName))
    assert options["shape"] == set(get_args(ScheduleShape))
    assert options["precision"] == set(get_args(Precision))


def test_samples_seed_and_callbacks_come_from_the_context(asked, tiny_cnn):
    data, rows, told = data_for(tiny_cnn), [], []
    context = replace(
        context_for(tiny_cnn, data=data),
        record=rows.append,
        progress=lambda share, what: told.append(share),
    )
    found = asked(context=context)
    assert torch.equal(found["inputs"], tiny_cnn.spec.normalise(data.part("train").inputs))
    assert torch.equal(found["validation"][1], torch.from_numpy(data.part("validation").targets))
    assert found["generator"].initial_seed() == context.generator().initial_seed()
    assert found["resume"] is context.resume
    assert found["check"] is context.check
    found["on_epoch"](optim.train.Epoch(2, 0.5, 0.1, accuracy=0.75))
    assert rows == [{"epoch": 2, "loss": 0.5, "learning_rate": 0.1, "accuracy": 0.75, "seconds": 0}]
    found["progress"](0.5, "half")
    assert told == [0.5]


def test_data_without_a_validation_part_are_trained_on_without_one(asked, tiny_cnn):
    data = data_for(tiny_cnn)
    parts = {"train": data.parts["train"]}
    found = asked(context=context_for(tiny_cnn, data=replace(data, parts=parts)))
    assert found["validation"] is None


def test_the_average_is_off_by_default(asked):
    assert asked()["average"] == 0


@pytest.mark.parametrize(("epochs", "batch", "decay"), [(1.0, 32, 1 - 1 / 4), (0.5, 1024, 1 / 3)])
def test_the_average_is_as_long_as_wanted(asked, epochs, batch, decay):
    # 96 samples: three steps of 32, or one of all.
    assert asked(average=epochs, batch_size=batch)["average"] == pytest.approx(decay)


# --- settings without a meaning -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"flip": True}, "mirroring"),
        ({"shift": 2}, "a random shift"),
        ({"cutout": 4, "cutmix": 0.5}, "cutout and CutMix"),
        ({"start_resolution": 0.5}, "a first resolution"),
    ],
    ids=str,
)
def test_settings_for_images_are_named_where_there_are_none(tiny_mlp, fields, named):
    step = FineTune(epochs=1, batch_size=32, **fields)
    report = step.apply(tiny_mlp, context_for(tiny_mlp)).report
    assert report.notes == (f"Only images have {named}; these samples were left as they are.",)


@pytest.mark.parametrize("fields", [{}, {"shift": 0}, {"mixup": 0.5}], ids=str)
def test_what_has_a_meaning_is_not_noted(tiny_mlp, fields):
    step = FineTune(epochs=1, batch_size=32, **fields)
    assert step.apply(tiny_mlp, context_for(tiny_mlp)).report.notes == ()


def test_images_have_all_of_them(tiny_cnn):
    step = FineTune(
        epochs=1, batch_size=32, flip=True, cutout=4, cutmix=0.5, start_resolution=0.5, shift=1
    )
    assert step.apply(tiny_cnn, context_for(tiny_cnn)).report.notes == ()


def test_what_the_loop_says_is_in_the_report(tiny_mlp):
    step = FineTune(epochs=2, batch_size=1024, keep="best")
    notes = step.apply(tiny_mlp, context_for(tiny_mlp)).report.notes
    assert [note.split()[0] for note in notes] == ["The", "A", "Kept"]
    assert "a little too high" in notes[0]  # what was chosen on samples is judged on them


# --- frozen layers --------------------------------------------------------------------------------


def frozen_of(bundle, freeze):
    return FineTune(freeze=freeze).frozen_layers(bundle.module)


def test_the_first_layers_are_frozen_with_all_that_follows_them(tiny_cnn):
    layers = list(weights_of(tiny_cnn.module))
    count = int(0.45 * len(layers))
    found = frozen_of(tiny_cnn, 0.45)
    assert [name for name in found if name in layers] == layers[:count]
    for name in ("bn1", "layer1.0.bn1", "layer1.0.bn2"):
        assert name in found
    follower = layers[count - 1].replace("conv", "bn")
    assert follower in found, "the norm after the last frozen layer is frozen with it"


@pytest.mark.parametrize("freeze", [0.0, 0.05, 0.3, 0.5, 0.9])
def test_a_share_of_the_layers_is_frozen(bundle, freeze):
    layers = list(weights_of(bundle.module))
    found = frozen_of(bundle, freeze)
    assert [n for n in layers if n in found] == layers[: int(freeze * len(layers))]
    assert len(set(found)) == len(found)
    assert set(layers) - set(found), "something is left to train"


def test_frozen_layers_are_bit_equal_and_reported(bundle, context):
    applied = FineTune(epochs=1, batch_size=32, freeze=0.5).apply(bundle, context)
    frozen = frozen_of(bundle, 0.5)
    before, after = bundle.module.state_dict(), applied.bundle.module.state_dict()
    for name, value in before.items():
        if any(f"{name}.".startswith(f"{layer}.") for layer in frozen):
            assert torch.equal(value, after[name]), name
    for entry in applied.report.layers:
        assert entry.touched is (entry.layer not in frozen)
        assert entry.detail == ("frozen by choice" if entry.layer in frozen else "trained")


def test_positions_before_the_first_trained_layer_are_frozen_with_it(monkeypatch):
    vit = tiny_bundle("vit")
    assert "embed.position" in frozen_of(vit, 0.5)
    assert frozen_of(vit, 0.0) == ()
    step = FineTune(epochs=1, batch_size=32, freeze=0.5)
    first, *_ = (n for n in weights_of(vit.module) if n not in frozen_of(vit, 0.5))
    needed = []
    given = optim.train.fit

    def watch(module, *args, **options):
        layer = module.get_submodule(first)
        layer.register_forward_pre_hook(lambda _, x: needed.append(x[0].requires_grad))
        return given(module, *args, **options)

    monkeypatch.setattr(optim.train, "fit", watch)
    after = step.apply(vit, context_for(vit)).bundle.module
    assert torch.equal(after.embed.position, vit.module.embed.position)
    assert needed
    assert not any(needed), "no gradient runs through what is frozen"


def test_a_parameter_that_a_trained_layer_reads_as_well_is_trained():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
            self.own, self.both = nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(4))

        def forward(self, x):
            x = self.first(x * self.own * self.both)
            return self.second(x) * self.both

    assert FineTune(freeze=0.5).frozen_layers(Scaled()) == ("first", "own")


# --- the summary ----------------------------------------------------------------------------------


def test_the_summary_tells_length_loss_and_accuracy():
    epochs = (
        optim.train.Epoch(1, 1.5, 0.1, accuracy=0.5),
        optim.train.Epoch(2, 0.25, 0.1, accuracy=0.875),
    )
    assert Trained(epochs, 1234, ()).summary == (
        "2 epochs on 1,234 samples, loss 1.500 to 0.250, validation accuracy 50.0% to 87.5%."
    )


def test_resuming_a_step_gives_the_same_model(tiny_cnn):
    class Kept:
        state = None

        def load(self):
            return self.state

        def save(self, state):
            self.state = state

        def due(self):
            return True

    step = FineTune(epochs=2, batch_size=16, mixup=0.4, average=0.5)
    unbroken = step.apply(tiny_cnn, context_for(tiny_cnn))
    kept, steps = Kept(), []

    def check():
        steps.append(1)
        if len(steps) == 5:
            raise Cancelled

    with pytest.raises(Cancelled):
        step.apply(tiny_cnn, replace(context_for(tiny_cnn), resume=kept, check=check))
    assert kept.state is not None
    resumed = step.apply(tiny_cnn, replace(context_for(tiny_cnn), resume=kept))
    assert resumed.bundle.hash == unbroken.bundle.hash
    assert resumed.report == unbroken.report
