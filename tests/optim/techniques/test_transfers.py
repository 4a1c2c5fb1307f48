"""Losses of distillation in closed form, and every method on every family of models."""

import copy
import json
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from optim.data.task import Classification
from optim.errors import ConfigError, UnsupportedModelError
from optim.layers import features
from optim.layers.rewrite import norm_layers
from optim.measure.evaluate import predict
from optim.models.bundle import Provenance
from optim.models.checkpoint import save_checkpoint
from optim.models.input_spec import InputSpec
from optim.models.mlp import MLP
from optim.recipe import Recipe
from optim.runner import apply_recipe
from optim.subject import Subject, check_models
from optim.techniques.distill import Distill
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.transfers import TRANSFERS, Setting, Teacher
from optim.techniques.transfers.attention import attention_loss
from optim.techniques.transfers.decoupled import decoupled_divergences
from optim.techniques.transfers.hints import hint_loss
from optim.techniques.transfers.method import answers_of
from optim.train import classification_loss
from tests.helpers import (
    assert_unchanged,
    context_for,
    data_for,
    frozen,
    inputs_for,
    outputs_of,
    tiny_bundle,
)

QUICK = {"epochs": 1, "batch_size": 32}


@pytest.fixture(params=TRANSFERS)
def transfer(request):
    return request.param


@pytest.fixture
def own_models(own_home, monkeypatch):
    """Add tiny models to those that can be named as teachers."""

    def add(name, bundle):
        folder = own_home / "store" / "models"
        save_checkpoint(bundle, folder / f"{name}.safetensors")
        card = {"title": name, "data": "tiny", "architecture": {}, "params": 1, "macs": 1}
        (folder / f"{name}.json").write_text(json.dumps(card))

    return add


def setting_for(bundle, temperature=2.0, alpha=0.5):
    return Setting(bundle.spec.shape, bundle.task, temperature, alpha, classification_loss())


def places_of(bundle):
    return features.places_of(bundle.module, bundle.spec.shape)


def lesson_of(name, bundle, teacher=None, **settings):
    teachers = (Teacher("original", (teacher or bundle).module),)
    student = copy.deepcopy(bundle.module)
    return TRANSFERS[name]().lesson(student, teachers, setting_for(bundle, **settings))


# --- closed forms -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["soft_targets", "decoupled", "attention"])
def test_a_student_that_is_its_teacher_has_nothing_to_learn(name, tiny_cnn):
    lesson = lesson_of(name, tiny_cnn, alpha=1.0)
    x, targets = inputs_for(tiny_cnn), torch.arange(16) % 4
    for part in lesson.module.modules():
        part.training = False
    lesson.module.training = True  # features are kept, norms are those of the teacher
    outputs = lesson.module(x)
    loss = lesson.objective(outputs, targets, x)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert all(p.grad.abs().max() < 1e-5 for p in lesson.module.parameters() if p.grad is not None)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_parts_of_decoupled_distillation_add_up_to_the_whole(temperature):
    torch.manual_seed(0)
    outputs, answers = 3 * torch.randn(40, 7), 3 * torch.randn(40, 7)
    targets = torch.arange(40) % 7
    target, others = decoupled_divergences(outputs, answers, targets, temperature)
    soft, own = (answers / temperature).log_softmax(1), (outputs / temperature).log_softmax(1)
    whole = functional.kl_div(own, soft, reduction="none", log_target=True).sum(1)
    sure = soft.exp().gather(1, targets[:, None]).squeeze(1)
    torch.testing.assert_close(target + (1 - sure) * others, whole, rtol=1e-4, atol=1e-5)
    assert (target >= -1e-6).all()
    assert (others >= -1e-6).all()


def test_with_two_classes_there_is_no_ranking_of_the_others():
    torch.manual_seed(0)
    outputs, answers = torch.randn(9, 2), torch.randn(9, 2)
    _, others = decoupled_divergences(outputs, answers, torch.arange(9) % 2, 2.0)
    assert others.abs().max() < 1e-6


def test_attention_by_hand():
    one = torch.tensor([[[[3.0, 0.0]]]])  # all on the left
    both = torch.tensor([[[[1.0, 1.0]], [[1.0, 1.0]]][0]])[None]
    right = torch.tensor([[[[0.0, 2.0]]]])
    assert attention_loss(one, right).item() == pytest.approx(2)
    assert attention_loss(one, both).item() == pytest.approx(2 - 2 / 2**0.5)


def test_attention_knows_neither_scale_nor_width():
    torch.manual_seed(0)
    own, other = torch.randn(4, 8, 5, 5), torch.randn(4, 3, 5, 5)
    distance = attention_loss(own, other)
    assert distance > 0.01
    torch.testing.assert_close(attention_loss(7 * own, 0.1 * other), distance)
    torch.testing.assert_close(attention_loss(own.repeat(1, 2, 1, 1), other), distance)
    tokens = own.flatten(2).transpose(1, 2)
    assert attention_loss(tokens, 2 * tokens, axis=-1).item() == pytest.approx(0, abs=1e-6)


def test_the_error_of_hints_is_relative():
    torch.manual_seed(0)
    hint, guess = torch.randn(4, 6), torch.randn(4, 6)
    assert hint_loss(hint, hint) == 0
    assert hint_loss(torch.zeros_like(hint), hint).item() == pytest.approx(1)
    torch.testing.assert_close(hint_loss(9 * guess, 9 * hint), hint_loss(guess, hint))


def test_without_a_soft_weight_and_a_teacher_self_distillation_learns_labels():
    bundle = tiny_bundle("mlp")
    lesson = lesson_of("self_distillation", bundle, alpha=0.0)
    lesson.module.train()
    x, targets = inputs_for(bundle), torch.arange(16) % 4
    outputs = lesson.module(x)
    heads = lesson.module.helpers
    early = lesson.module._features
    expected = (
        functional.cross_entropy(outputs, targets)
        + torch.stack(
            [functional.cross_entropy(h(f), targets) for h, f in zip(heads, early, strict=True)]
        ).mean()
    )
    torch.testing.assert_close(lesson.objective(outputs, targets, x), expected)


# --- the contract -------------------------------------------------------------------------------


def test_every_method_trains_every_family_or_says_why_not(transfer, bundle, context):
    step = Distill(transfer=transfer, **QUICK)
    if bundle.task.kind not in step.transfer.tasks:
        with pytest.raises(ConfigError, match="finds objects"):
            step.apply(bundle, context)
        return
    before, reference = frozen(bundle), frozen(context.reference)
    state = torch.get_rng_state()
    if transfer == "attention" and not any(place.size for place in places_of(bundle)):
        with pytest.raises(UnsupportedModelError, match="share none"):
            step.apply(bundle, context)
        return
    applied = step.apply(bundle, context)
    assert_unchanged(bundle, before)
    assert_unchanged(context.reference, reference)
    assert torch.equal(torch.get_rng_state(), state)
    result = applied.bundle
    assert result.hash != bundle.hash
    assert not any(layer.training for layer in result.module.modules())
    assert result.module.state_dict().keys() == bundle.module.state_dict().keys(), "no helper stays"
    assert torch.isfinite(outputs_of(result, inputs_for(bundle))).all()
    assert step.apply(bundle, context).bundle.hash == result.hash


def test_methods_differ_in_what_is_learned(tiny_cnn):
    context = context_for(tiny_cnn)
    pruned = PruneChannels(pruning_ratio=0.4).apply(tiny_cnn, context).bundle
    found = {
        name: Distill(transfer=name, **QUICK).apply(pruned, context).bundle.hash
        for name in TRANSFERS
    }
    assert len(set(found.values())) == len(TRANSFERS)


def test_a_student_of_another_width_learns_from_features(transfer, tiny_cnn):
    context = context_for(tiny_cnn)
    pruned = PruneChannels(pruning_ratio=0.5).apply(tiny_cnn, context).bundle
    student = Distill(transfer=transfer, **QUICK).apply(pruned, context).bundle
    assert norm_layers(student.module)
    assert torch.isfinite(outputs_of(student, inputs_for(tiny_cnn))).all()


def test_pruned_weights_stay_zero(transfer, tiny_cnn):
    context = context_for(tiny_cnn)
    sparse = PruneWeights(sparsity=0.6).apply(tiny_cnn, context).bundle
    student = Distill(transfer=transfer, **QUICK).apply(sparse, context).bundle
    for name, mask in sparse.table.masks.items():
        assert not student.module.get_parameter(f"{name}.weight")[~mask].any()


def test_every_field_of_a_method_is_written_and_read():
    recipe = Recipe("m", "d").with_step(
        Distill(transfer={"hints": {"weight": 2.0, "stages": "all"}}, teacher=["original", "other"])
    )
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    assert "teacher: [original, other]" in recipe.to_yaml()
    single = Recipe("m", "d").with_step(Distill(teacher="other"))
    assert "teacher: other" in single.to_yaml()
    assert Recipe.from_link(single.to_link()) == single


def test_every_method_wins_back_what_pruning_cost(transfer, trained):
    bundle, data = trained
    context = context_for(bundle, data=data)
    samples = data.part("validation")
    pruned = PruneChannels(pruning_ratio=0.5).apply(bundle, context).bundle
    step = Distill(epochs=2, batch_size=64, shift=0, transfer=transfer)
    student = step.apply(pruned, context).bundle
    change = predict(student, samples).against(predict(pruned, samples))
    assert change.direction == "better"
    assert predict(student, samples).accuracy().value > 0.85


# --- teachers -----------------------------------------------------------------------------------


def test_a_teacher_is_named_and_makes_a_difference(own_models, tiny_cnn):
    own_models("small", tiny_bundle("mobilenet"))
    context = context_for(tiny_cnn)
    hashes = {
        names: Distill(teacher=names, **QUICK).apply(tiny_cnn, context).bundle.hash
        for names in ("original", "small", ("original", "small"))
    }
    assert len(set(hashes.values())) == 3
    swapped = Distill(teacher=("small", "original"), **QUICK).apply(tiny_cnn, context).bundle
    assert torch.isfinite(outputs_of(swapped, inputs_for(tiny_cnn))).all()


def test_features_of_a_teacher_of_another_family_are_compared_where_sizes_agree(
    own_models, tiny_cnn
):
    own_models("small", tiny_bundle("mobilenet"))
    context = context_for(tiny_cnn)
    for name in ("hints", "attention"):
        step = Distill(transfer=name, teacher="small", **QUICK)
        assert step.apply(tiny_cnn, context).bundle.hash != tiny_cnn.hash
    own_models("tokens", tiny_bundle("vit"))
    with pytest.raises(UnsupportedModelError, match=r"share none\.") as caught:
        Distill(transfer="attention", teacher="tokens", **QUICK).apply(tiny_cnn, context)
    assert "soft targets" in caught.value.hint


def test_features_are_learned_from_one_teacher(own_models, tiny_cnn):
    own_models("small", tiny_bundle("mobilenet"))
    for name in ("hints", "attention"):
        step = Distill(transfer=name, teacher=("original", "small"), **QUICK)
        with pytest.raises(ConfigError, match=r"needs one teacher: got 2 \(original, small\)"):
            step.apply(tiny_cnn, context_for(tiny_cnn))


def test_an_ensemble_answers_with_the_geometric_mean(tiny_mlp):
    torch.manual_seed(0)
    first, second = (torch.nn.Linear(12, 4) for _ in range(2))
    x = torch.randn(5, 12)
    both = answers_of((Teacher("a", first), Teacher("b", second)), tiny_mlp.task)(x)
    for temperature in (1.0, 3.0):
        product = (first(x).softmax(1) * second(x).softmax(1)) ** (0.5 / temperature)
        expected = product / product.sum(1, keepdim=True)
        torch.testing.assert_close((both / temperature).softmax(1), expected)
    torch.testing.assert_close(answers_of((Teacher("a", first),), tiny_mlp.task)(x), first(x))


def test_several_detectors_are_averaged_number_by_number():
    task = tiny_bundle("detector").task
    first, second = torch.full((2, task.n_numbers), 1.0), torch.full((2, task.n_numbers), 4.0)
    teachers = (Teacher("a", lambda x: first), Teacher("b", lambda x: second))
    assert torch.equal(answers_of(teachers, task)(torch.zeros(2, 3)), (first + second) / 2)


@pytest.mark.parametrize("name", ["soft_targets", "hints", "attention"])
def test_a_detector_learns_the_boxes_of_its_teacher(name):
    teacher = tiny_bundle("detector")
    pruned = PruneChannels(pruning_ratio=0.5).apply(teacher, context_for(teacher)).bundle
    step = Distill(transfer=name, epochs=6, batch_size=16, alpha=1.0, learning_rate=0.05)
    student = step.apply(pruned, context_for(teacher)).bundle
    x = inputs_for(teacher, 64)
    wanted = outputs_of(teacher, x)
    errors = [float((outputs_of(b, x) - wanted).square().mean()) for b in (pruned, student)]
    assert errors[1] < errors[0]


@pytest.mark.parametrize("name", ["decoupled", "self_distillation"])
def test_what_compares_classes_is_refused_for_a_detector_with_what_works(name):
    bundle = tiny_bundle("detector")
    with pytest.raises(ConfigError, match="finds objects") as caught:
        Distill(transfer=name, **QUICK).apply(bundle, context_for(bundle))
    assert caught.value.field == "transfer"
    assert caught.value.hint == "Learn from: Soft targets, Feature hints, Attention transfer."


def test_a_teacher_gets_inputs_normalised_as_it_was_trained(own_models):
    bundle = tiny_bundle("resnet")
    raw = data_for(bundle).part("train").inputs[:6]
    other = InputSpec(bundle.spec.shape, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7), 128.0)
    plain = InputSpec(bundle.spec.shape)
    for source in (bundle.spec, other, plain):
        for target in (bundle.spec, other, plain):
            found = source.to(target)(source.normalise(raw))
            torch.testing.assert_close(found, target.normalise(raw), rtol=1e-4, atol=1e-4)


def test_a_teacher_of_other_classes_or_inputs_is_refused_with_both_named(own_models, tiny_mlp):
    five = Classification(("a", "b", "c", "d", "e"))
    module = MLP(width=16, normalisation="batch").build((12,), 5).eval()
    teacher = tiny_mlp.with_module(module)
    own_models("five", replace(teacher, task=five, provenance=Provenance("five", seen=())))
    own_models("images", tiny_bundle("resnet"))
    expected = {
        "five": (
            "The teacher five answers with one of 5 classes, and tiny mlp with one of 4 classes."
        ),
        "images": (
            "The teacher images takes inputs of shape (3, 16, 16), and tiny mlp takes (12,)."
        ),
        "nobody": "There is no registered model 'nobody'.",
    }
    for name, message in expected.items():
        step = Distill(teacher=("original", name), **QUICK)
        with pytest.raises(ConfigError) as caught:
            step.apply(tiny_mlp, context_for(tiny_mlp))
        assert caught.value.message == message
        assert caught.value.field == "teacher"
        recipe = Recipe("m", "d").with_step(step)
        with pytest.raises(ConfigError) as caught:
            check_models(recipe, tiny_mlp)
        assert (caught.value.message, caught.value.field) == (message, "distill.teacher")
    check_models(Recipe("m", "d").with_step(Distill()), tiny_mlp)
    check_models(
        Recipe("m", "d").with_step(Distill(teacher="five", transfer="self_distillation")), tiny_mlp
    )


def test_a_teacher_that_does_not_fit_is_refused_before_anything_is_done(own_models, tiny_mlp):
    own_models("images", tiny_bundle("resnet"))
    data = data_for(tiny_mlp)
    subject = Subject(tiny_mlp, data, "validation", "unseen", 0)
    recipe = Recipe("m", "d").with_step(PruneChannels()).with_step(Distill(teacher="images"))
    with pytest.raises(ConfigError, match="takes inputs of shape"):
        apply_recipe(recipe, subject)
    assert not data._loaded


def test_another_teacher_under_the_same_name_gives_another_result(own_models, tiny_mlp):
    recipe = Recipe("m", "d").with_step(Distill(teacher="mine"))
    keys = [recipe.chain("m", "d")[-1]]
    for family in ("mlp", "resnet"):
        own_models("mine", tiny_bundle(family))
        keys.append(recipe.chain("m", "d")[-1])
        assert recipe.chain("m", "d")[-1] == keys[-1]
    assert len(set(keys)) == 3
