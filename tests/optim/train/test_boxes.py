"""The loss of boxes on cases that can be computed by hand, and that it teaches a detector."""

import pytest
import torch

from optim.data import Detection
from optim.train import Schedule, detection_distillation_loss, detection_loss, fit

TASK = Detection(("ash", "birch"), (16, 16))
X = torch.zeros(1, 3, 16, 16)


def outputs(logit, shape):
    """Return one answer: no class anywhere but the first in the first place, with a box there."""
    channels = torch.full((1, TASK.n_outputs, *TASK.raster), -20.0)
    channels[0, 2:] = 0.0
    channels[0, 0, 0, 0] = logit
    channels[0, 2:, 0, 0] = torch.tensor(shape)
    return channels.flatten(1)


def objects(*boxes):
    return torch.tensor([[*boxes, [-1] * 5]])


def test_a_perfect_answer_costs_nothing():
    # An object in the middle of the first place; its middle is a whole place away from the others.
    loss = detection_loss(TASK)(outputs(20.0, [0.0] * 4), objects([0, 0, 8, 8, 0]), X)
    assert float(loss) == pytest.approx(0, abs=1e-6)


def test_a_box_costs_one_minus_generalised_iou_twice():
    # 8x8 pixels wanted, 8x4 found inside: IoU and generalised IoU are one half. The class is aimed
    # at that overlap: sigmoid(0) = 1/2 costs nothing.
    found = outputs(0.0, [0.0, 0.0, 0.0, float(torch.tensor(0.5).log())])
    loss = detection_loss(TASK)(found, objects([0, 0, 8, 8, 0]), X)
    assert float(loss) == pytest.approx(2 * (1 - 0.5), abs=1e-5)


def test_missing_an_object_costs_the_focal_loss():
    found = outputs(0.0, [0.0] * 4)
    loss = detection_loss(TASK)(found, objects([0, 0, 8, 8, 0]), X)
    assert float(loss) == pytest.approx(0.25 * float(torch.tensor(2.0).log()), abs=1e-5)


def test_a_place_sees_the_smallest_of_its_objects():
    both = objects([0, 0, 8, 8, 1], [2, 2, 6, 6, 0])
    shape = [0.0, 0.0, float(torch.tensor(0.5).log()), float(torch.tensor(0.5).log())]
    assert float(detection_loss(TASK)(outputs(20.0, shape), both, X)) == pytest.approx(0, abs=1e-5)


def test_a_scene_without_objects_teaches_that_there_are_none():
    nothing = torch.full((1, 2, 5), -1)
    quiet, loud = (detection_loss(TASK)(outputs(v, [0.0] * 4), nothing, X) for v in (-20.0, 3.0))
    assert float(quiet) == pytest.approx(0, abs=1e-6)
    assert float(loud) > 2


def test_imitating_oneself_costs_nothing():
    found = torch.randn(1, TASK.n_numbers, generator=torch.Generator().manual_seed(0))
    loss = detection_distillation_loss(lambda x: found, TASK, 2.0, 1.0)
    assert float(loss(found, objects([0, 0, 8, 8, 0]), X)) == pytest.approx(0, abs=1e-5)


def test_imitation_grows_with_the_distance_and_alpha_mixes_both_losses():
    generator = torch.Generator().manual_seed(0)
    teacher, away = (torch.randn(1, TASK.n_numbers, generator=generator) for _ in range(2))
    there = objects([0, 0, 8, 8, 0])
    costs = [
        float(detection_distillation_loss(lambda x: teacher, TASK, 2.0, alpha)(found, there, X))
        for alpha, found in ((1.0, teacher + 0.1 * away), (1.0, teacher + away), (0.0, away))
    ]
    assert costs[0] < costs[1]
    assert costs[2] == pytest.approx(float(detection_loss(TASK)(away, there, X)))


def test_a_linear_detector_learns_where_one_object_is():
    """Four scenes, each with a bright place that is the object."""
    inputs, targets = torch.zeros(4, 1, 16, 16), torch.full((4, 1, 5), -1)
    for i, (top, left) in enumerate([(0, 0), (0, 8), (8, 0), (8, 8)]):
        inputs[i, 0, top : top + 8, left : left + 8] = 1
        targets[i, 0] = torch.tensor([left, top, left + 8, top + 8, i % 2])
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, TASK.n_numbers))
    torch.nn.init.zeros_(module[1].weight)
    history = fit(
        module,
        inputs,
        targets,
        detection_loss(TASK),
        Schedule(epochs=150, batch_size=4, learning_rate=0.02, optimizer="adamw", clip=0.0),
        generator=torch.Generator().manual_seed(0),
    )
    assert history[-1].loss < 0.3 * history[0].loss
    assert history[-1].train_accuracy is None
