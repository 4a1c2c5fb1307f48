"""The list of runs: shows, filters, sorts, selects, compares, deletes and undoes."""

import pytest

from optim.runs.run import State
from pages.components import server
from pages.components.runs.listing import SORTS
from tests.pages.helpers import click, open_app, small_recipe, texts

PAGE = "pages/runs/runs.py"


@pytest.fixture
def page(worked):
    """The page on a store that a test has filled, or fills before it opens."""

    def open_():
        at = open_app(small_recipe()).switch_page(PAGE).run()
        assert not at.exception
        return at

    return open_


def titles(at):
    return [link.label for link in at.main.page_link if link.label != "Open the Lab"]


def pick(at, *runs):
    for run in runs:
        at.checkbox(key=f"pick_{run.id}").check()
    return at.run()


def is_off(at, label):
    (button,) = [b for b in at.button if b.label == label]
    return button.disabled


# --- shows --------------------------------------------------------------------------------------


def test_without_runs_it_says_what_to_do(page):
    at = page()
    assert "No runs yet" in texts(at)
    assert "Recover accuracy" in texts(at)
    assert [link.label for link in at.main.page_link] == ["Open the Lab"]


def test_a_row_says_what_it_is_how_far_it_is_and_what_it_reached(worked, page):
    worked.finished("half the channels")
    worked.running("few bits")
    at = page()
    assert titles(at) == ["few bits", "half the channels"]
    shown = texts(at)
    assert "**92 ± 2 %**, loses 1.4 ± 0.9 points" in shown
    assert "Small ResNet · Digits" in shown
    assert "just now" in shown
    (bar,) = at.main.get("progress")
    assert bar.proto.text.startswith("35 % · epoch 2 of 4")


def test_why_a_run_failed_stands_in_its_row(worked, page):
    worked.failed()
    assert "The loss is no longer a number." in texts(page())


def test_a_row_leads_to_its_run(worked, page):
    run = worked.queued()
    (link,) = page().main.page_link
    assert link.proto.query_string == f"id={run.id}"


def test_a_store_that_cannot_be_opened_is_explained(no_store):
    at = open_app(small_recipe()).switch_page(PAGE).run()
    assert not at.exception
    assert "The run store" in at.error[0].value


@pytest.fixture
def secret_model(page_home):
    """The name of a model that only who has its link may see."""
    from optim.library import add_model

    return add_model(page_home / "small.safetensors", data="digits", title="Secret", listed=False)


@pytest.fixture
def secret_data(page_home, tmp_path):
    """The name of data that only who has its link may see."""
    from PIL import Image

    from optim.data.added import add_data

    for label in ("even", "odd"):
        folder = tmp_path / "images" / label
        folder.mkdir(parents=True)
        for i in range(6):
            Image.new("L", (8, 8), 40 * i).save(folder / f"{i}.png")
    return add_data(tmp_path / "images", title="Secret", listed=False).name


def recipe_run(worked, model="small-resnet", data="digits"):
    return worked.queued("mine alone", small_recipe(model=model, data=data))


def alternatives_run(worked, model="small-resnet", data="digits"):
    spec = {"topic": "regularisation", "model": model, "data": data, "seeds": [0]}
    return worked.store.submit("alternatives", {**spec, "alternatives": []}, title="mine alone")


def taught_run(worked, model):
    return worked.queued("mine alone", small_recipe(steps=[{"distill": {"teacher": [model]}}]))


@pytest.mark.parametrize("submit", [recipe_run, alternatives_run, taught_run])
def test_runs_on_models_that_others_uploaded_are_not_listed(worked, page, secret_model, submit):
    submit(worked, model=secret_model)
    assert "No runs yet" in texts(page())
    owner = open_app(small_recipe(model=secret_model)).switch_page(PAGE).run()
    assert titles(owner) == ["mine alone"]


@pytest.mark.parametrize("submit", [recipe_run, alternatives_run])
def test_runs_on_data_that_others_uploaded_are_not_listed(worked, page, secret_data, submit):
    run = submit(worked, data=secret_data)
    worked.queued("for all")
    at = page()
    assert titles(at) == ["for all"]
    at.text_input(key="runs_text").set_value(run.id).run()
    assert "No run matches" in texts(at)
    owner = open_app(small_recipe(data=secret_data)).switch_page(PAGE).run()
    assert set(titles(owner)) == {"mine alone", "for all"}


def test_a_row_of_any_kind_of_work_says_on_what(worked, page):
    alternatives_run(worked)
    assert "Small ResNet · Digits" in texts(page())


# --- filters and sorts --------------------------------------------------------------------------


def test_a_filter_leaves_runs_of_its_states(worked, page):
    worked.finished("done")
    worked.failed("broken")
    worked.running("begun")
    at = page()
    for choice, expected in {
        "Finished": ["done"],
        "Failed": ["broken"],
        "Active": ["begun"],
    }.items():
        at.segmented_control(key="runs_filter").set_value(choice).run()
        assert titles(at) == expected


def test_a_search_looks_at_titles_and_ids(worked, page):
    worked.queued("half the channels")
    other = worked.queued("few bits")
    at = page()
    at.text_input(key="runs_text").set_value("BITS").run()
    assert titles(at) == ["few bits"]
    at.text_input(key="runs_text").set_value(other.id).run()
    assert titles(at) == ["few bits"]


def test_where_no_run_matches_all_can_be_shown_again(worked, page):
    worked.queued("half the channels")
    at = page()
    at.text_input(key="runs_text").set_value("nothing like it").run()
    assert "No run matches" in texts(at)
    click(at, "Show all runs")
    assert titles(at) == ["half the channels"]


def test_the_most_accurate_stands_first_if_asked(worked, page):
    worked.finished("good", accuracy=0.95)
    worked.finished("better", accuracy=0.97)
    worked.running("unknown")
    at = page()
    at.selectbox(key="runs_order").set_value("Most accurate first").run()
    assert titles(at) == ["better", "good", "unknown"]


@pytest.mark.parametrize("order", SORTS)
def test_every_order_takes_runs_of_every_state(worked, order):
    runs = [worked.finished(), worked.running(), worked.failed(), worked.queued()]
    assert len(sorted(runs, key=SORTS[order])) == len(runs)


def test_many_runs_are_shown_in_pages(worked, page):
    for number in range(23):
        worked.queued(f"run {number}")
    at = page()
    assert len(titles(at)) == 20
    assert titles(at)[0] == "run 22"


# --- selects ------------------------------------------------------------------------------------


def test_without_a_selection_nothing_can_be_done(worked, page):
    worked.running()
    at = page()
    assert all(is_off(at, name) for name in ("Compare", "Pause", "Resume", "Cancel", "Delete"))


def test_a_selected_run_can_be_paused_and_resumed(worked, page, woken):
    run = worked.running()
    at = pick(page(), run)
    assert is_off(at, "Resume")
    click(at, "Pause")
    assert worked.store.get(run.id).state is State.PAUSED
    click(at, "Resume")
    assert worked.store.get(run.id).state is State.QUEUED
    assert woken == ["ensure"]


def test_a_selected_run_can_be_cancelled(worked, page):
    run = worked.running()
    click(pick(page(), run), "Cancel")
    assert worked.store.get(run.id).state is State.CANCELLED


def test_deleting_can_be_undone_at_once_and_later(worked, page):
    first, second = worked.finished("first"), worked.finished("second")
    at = click(pick(page(), first, second), "Delete")
    assert titles(at) == []
    assert "2 runs deleted." in texts(at)
    click(at, "Undo")
    assert titles(at) == ["second", "first"]
    click(pick(at, first), "Delete")
    click(at, "Dismiss")
    at.segmented_control(key="runs_filter").set_value("Deleted").run()
    assert titles(at) == ["first"]
    click(pick(at, first), "Restore")
    assert not worked.store.get(first.id).deleted


def test_selected_runs_go_to_the_page_that_compares(worked, page):
    first, second = worked.finished("first"), worked.finished("second", accuracy=0.8, change=-11.0)
    at = page()
    assert is_off(at, "Compare")
    at = click(pick(at, first, second), "Compare")
    assert set(at.query_params["runs"].split(",")) == {first.id, second.id}
    assert at.subheader[0].value == "Compare"
    assert set(at.multiselect(key="compare_refs").value) == {first.id, second.id}


# --- looks by itself ----------------------------------------------------------------------------


def bars(at):
    return [bar.proto.text for bar in at.main.get("progress")]


def test_progress_moves_without_the_page_while_a_run_is_active(worked, page, timers):
    run = worked.running()
    at = page()
    assert timers.seconds == [1.0]
    assert bars(at)[0].startswith("35 % · epoch 2 of 4")
    worked.train(worked.lease_of(run), 3)
    timers.tick(at)
    assert bars(at)[0].startswith("48 % · epoch 3 of 4")
    assert not at.segmented_control  # only the rows ran
    assert timers.seconds == [1.0]


def test_when_the_last_run_has_ended_the_page_shows_it_and_looks_no_more(worked, page, timers):
    run = worked.running()
    at = page()
    worked.store.cancel(run.id)
    timers.tick(at)
    assert "cancelled" in texts(at)
    assert at.segmented_control(key="runs_filter")  # the whole page ran
    assert timers.seconds == []


def test_runs_that_wait_for_somebody_are_not_looked_at(worked, page, timers):
    worked.store.pause(worked.queued().id)
    worked.finished()
    worked.failed()
    page()
    assert timers.seconds == []


@pytest.mark.parametrize(("choice", "seconds"), [("Active", [1.0]), ("Finished", [])])
def test_only_what_is_shown_counts(worked, page, timers, choice, seconds):
    worked.running()
    worked.finished()
    at = page()
    at.segmented_control(key="runs_filter").set_value(choice).run()
    assert timers.seconds == seconds


def test_two_browsers_show_the_same(worked, page, timers):
    run = worked.running("shared")
    first, second = page(), page()
    click(pick(second, run), "Pause")
    first.run()
    assert "paused" in texts(first)
    assert timers.seconds == []
    click(pick(first, run), "Resume")
    second.run()
    assert "queued" in texts(second)
    assert timers.seconds == [1.0]
    worked.queued("from elsewhere")
    timers.tick(second)
    assert titles(second) == ["from elsewhere", "shared"]


def test_what_was_selected_stays_selected_while_rows_are_drawn_again(worked, page, timers):
    run = worked.running()
    at = pick(page(), run)
    timers.tick(at)
    assert at.checkbox(key=f"pick_{run.id}").value
    assert not is_off(at, "Pause")


def test_rows_keep_their_places_while_somebody_looks(worked, page, timers):
    now = [1000.0]
    worked.store.clock = lambda: now[0]
    ahead = worked.running("ahead", epochs=1)
    now[0] += 10
    worked.lease_of(ahead).finish({})
    behind = worked.running("behind", epochs=1)
    at = page()
    at.selectbox(key="runs_order").set_value("Longest first").run()
    assert titles(at) == ["ahead", "behind"]
    now[0] += 100
    worked.train(worked.lease_of(behind), 3)
    timers.tick(at)
    assert bars(at)[0].startswith("48 %")
    assert titles(at) == ["ahead", "behind"]
    at.run()
    assert titles(at) == ["behind", "ahead"]


def test_a_store_that_is_locked_for_a_moment_is_asked_again(worked, page, timers, monkeypatch):
    from optim.errors import RunError

    def locked(work):
        raise RunError("The run store is locked.")

    worked.running()
    at = page()
    with monkeypatch.context() as patch:
        patch.setattr(server.run_store().database, "read", locked)
        timers.tick(at)
        assert "locked" in at.error[0].value
        assert timers.seconds == [1.0]
    timers.tick(at)
    assert not at.error
    assert titles(at)
