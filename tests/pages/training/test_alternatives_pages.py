"""Regularisation and faster training: choose, start, and read what came of it."""

from dataclasses import replace

import pytest

from optim.alternatives.outcomes import Cell, compared
from optim.alternatives.topics import TOPICS
from optim.runs.jobs.alternatives import cell_name
from optim.runs.run import EpochRow, State
from pages.components.alternatives.results import curves_info, outcome_rows
from tests.pages.helpers import MODEL, OTHER, open_app, small_recipe, texts

PAGES = {
    "regularisation": "pages/training/regularisation.py",
    "speed": "pages/training/speed.py",
}


@pytest.fixture(params=PAGES)
def topic(request):
    return request.param


@pytest.fixture
def page(worked, topic):
    """The page of a topic on a store that a test has filled."""

    def open_(recipe=None):
        at = open_app(recipe or small_recipe()).switch_page(PAGES[topic]).run()
        assert not at.exception
        return at

    return open_


def press(at):
    (button,) = [b for b in at.button if b.label.startswith("Train")]
    return button.click().run()


def cells(*titles, seeds=(0, 1)):
    return [
        Cell(
            title,
            seed,
            ({"epoch": 1, "seconds": 2.0, "accuracy": 0.5 + 0.1 * i},),
            0.7 + 0.1 * i,
            0.5 + 0.1 * i,
            2.5 - i,
        )
        for i, title in enumerate(titles)
        for seed in seeds
    ]


def finish(worked, run, found):
    lease = worked.lease(run)
    lease.finish(
        {
            "schema": "optim.alternatives/1",
            "data": "Digits",
            "samples": {},
            "cells": [cell.to_json() for cell in found],
            "outcomes": [outcome.to_json() for outcome in compared(found)],
        }
    )


def test_before_anything_was_compared_it_says_what_to_do(page, topic):
    at = page()
    assert TOPICS[topic].about in texts(at)
    assert "Nothing compared yet" in texts(at)


def test_the_button_says_how_many_networks_are_trained_and_starts_them(page, worked, woken, topic):
    at = press(page())
    assert not at.error
    (run,) = worked.store.runs()
    assert run.kind == "alternatives"
    assert run.spec["topic"] == topic
    assert (run.spec["model"], run.spec["data"]) == (MODEL, "digits")
    assert run.spec["seeds"] == [0, 1, 2]
    assert run.spec["alternatives"][0]["title"] == "Baseline"
    assert len(run.spec["alternatives"]) == 4
    assert woken
    assert "first epoch has not ended" in texts(at)


def test_with_nothing_to_change_there_is_nothing_to_train(page):
    at = page()
    (choice,) = at.multiselect
    choice.set_value([]).run()
    (button,) = [b for b in at.button if b.label.startswith("Train")]
    assert button.disabled


def test_a_change_to_what_the_baseline_has_is_left_out(worked, page, topic):
    at = page()
    field = {"regularisation": "dropout", "speed": "batch_size"}[topic]
    baseline = {"regularisation": 0.0, "speed": 128}[topic]
    (choice,) = at.multiselect
    choice.set_value([field]).run()
    at.select_slider(key=f"{topic}_{field}_{MODEL}").set_value(baseline).run()
    assert "That is the baseline" in texts(at)
    (button,) = [b for b in at.button if b.label.startswith("Train")]
    assert button.disabled


def test_a_finished_comparison_shows_differences_and_times(page, worked):
    at = press(page())
    (run,) = worked.store.runs()
    titles = [alternative["title"] for alternative in run.spec["alternatives"]]
    finish(worked, run, cells(*titles[:2]))
    at.run()
    assert not at.error
    (table,) = at.table
    assert list(table.value["Alternative"]) == titles[:2]
    assert "Generalisation gap" in texts(at)


def test_a_comparison_of_another_model_is_not_shown(page, worked):
    press(page())
    at = page(small_recipe(model="digits-mlp"))
    assert "Nothing compared yet" in texts(at)


def test_what_went_wrong_is_said(page, worked):
    at = press(page())
    (run,) = worked.store.runs()
    error = {"kind": "RunError", "message": "It diverged.", "hint": "Go slower.", "traceback": ""}
    worked.lease(run).fail(error)
    assert worked.store.get(run.id).state is State.FAILED
    assert "It diverged. Go slower." in texts(at.run())


def test_a_model_that_is_not_here_is_answered_with_a_sentence(page):
    at = page(small_recipe(model="nowhere"))
    assert at.error


def test_what_finds_objects_is_refused_before_anything_is_trained(page):
    at = page(small_recipe(model="scenes-detector", data="digit-scenes", steps=[]))
    assert "tells no classes" in at.error[0].value
    assert not [b for b in at.button if b.label.startswith("Train")]


def test_a_table_is_not_offered_what_only_images_have(page):
    at = page(small_recipe(model=OTHER, data="wine", steps=[]))
    (choice,) = at.multiselect
    assert not {"Mirror", "Cutout", "First resolution", "Memory layout"} & set(choice.options)


def test_curves_are_means_over_seeds_in_percent(page, worked):
    press(page())
    (run,) = worked.store.runs()
    rows = [
        EpochRow(cell_name("Baseline", seed), 1, {"accuracy": value}, 0.0)
        for seed, value in ((0, 0.4), (1, 0.6))
    ]
    (curve,) = curves_info(run, rows)
    assert curve == {"title": "Baseline", "accuracy": [(1, 50.0)], "train_accuracy": []}


def test_an_epoch_that_only_some_seeds_have_is_no_mean_of_all(page, worked):
    press(page())
    (run,) = worked.store.runs()
    rows = [
        EpochRow(cell_name("Baseline", seed), epoch, {"accuracy": value}, 0.0)
        for seed, values in ((0, (0.4, 0.5)), (1, (0.6, 0.7, 0.9)))
        for epoch, value in enumerate(values, 1)
    ]
    (curve,) = curves_info(run, rows)
    assert curve["accuracy"] == [(1, 50.0), (2, pytest.approx(60.0))]


def test_a_change_of_what_was_chosen_on_the_same_samples_is_no_finding():
    found = [*cells("a"), *(replace(one, is_selected=True) for one in cells("a", "b")[2:])]
    _, second = outcome_rows([o.to_json() for o in compared(found)], found, 0.55)
    assert second["Against baseline"] == "10.0 points (chosen on these samples)"


def test_means_that_are_cut_name_both_ends():
    found = [*cells("a", seeds=(0,)), replace(*cells("a", seeds=(1,)), accuracy=0.77)]
    (row,) = outcome_rows([o.to_json() for o in compared(found)], found, 0.55)
    assert row["Accuracy"] == "63.5 % (0.0 % to 100 %)"


def test_of_two_seeds_it_is_said_that_they_tell_little(page, worked, topic):
    at = page()
    at.select_slider(key=f"{topic}_seeds").set_value(2).run()
    press(at)
    (run,) = worked.store.runs()
    finish(worked, run, cells(*[a["title"] for a in run.spec["alternatives"][:2]]))
    assert "Two seeds tell little" in texts(at.run())


def test_the_table_tells_noise_from_difference():
    found = cells("a", "b")
    first, second = outcome_rows([o.to_json() for o in compared(found)], found, 0.55)
    assert first["Against baseline"] == "–"
    assert second["Against baseline"] == "10.0 points"
    assert first["To 55 %"] == "not reached"
    assert second["To 55 %"].startswith("2.00 s")
