"""Training that is killed or stopped anywhere ends bit by bit as if nothing had happened.

Real workers under a real supervisor train a small network; a death is a real SIGKILL.
"""

import signal

import pytest

from optim.hashing import digest_file
from optim.recipe import Recipe
from optim.runs.artefacts import is_intact
from optim.runs.checkpoint import checkpoints_of
from optim.runs.run import State
from optim.runs.store import RunStore
from optim.runs.supervisor import GRACE_S
from optim.storage import store_home
from tests.optim.runs.driver import LIMIT_S, Driver
from tests.optim.runs.mortal import PATH

RECIPE = Recipe.from_yaml(
    """\
version: 1
model: digits-mlp
data: digits
steps:
  - prune_channels: {pruning_ratio: 0.25}
  - distill: {epochs: 3, batch_size: 128, average: 1.0, mixup: 0.2, keep: best}
  - quantize: {weight_bits: 4, activation_bits: 8}
  - finetune_quantized: {epochs: 2, batch_size: 128, optimizer: adamw, learning_rate: 0.002}
"""
)
EPOCHS = [*(("distill", i) for i in (1, 2, 3)), *(("finetune_quantized", i) for i in (1, 2))]
EVERY = 3
"""Training steps between two states; an epoch has eight."""


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """What a run leaves that nothing happened to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPTIM_HOME", str(tmp_path_factory.mktemp("unbroken")))
        patch.delenv("OPTIM_STORE", raising=False)
        store = RunStore.open()
        driver = Driver(store, jobs=PATH, threads=1)
        run = submit(store)
        driver.until_idle()
        found = outcome(store, run)
        assert [row[:2] for row in found["rows"]] == EPOCHS
        assert len(found["students"]) == 2
        assert resumed(store, run) == []
        store.database.close()
    return found


def submit(store, every=EVERY, **fate):
    spec = {"recipe": RECIPE.to_json(), "every": every, **fate}
    return store.submit("recipe", spec, max_attempts=len(fate.get("dies", ())) + 1)


def outcome(store, run):
    """Return all that must not depend on what happened on the way."""
    run = store.get(run.id)
    assert run.state is State.FINISHED, run.error
    students = sorted((store_home() / "students").glob("*.safetensors"))
    files = {file.name: file.hash for file in store.artefacts(run.id) if is_intact(file)}
    rows = [
        (row.step, row.epoch, {k: v for k, v in row.figures.items() if k != "seconds"})
        for row in store.epochs(run.id)
    ]
    return {
        "students": {path.name: digest_file(path) for path in students},
        "model": files["model.onnx"],
        "recipe": files["recipe.yaml"],
        "accuracy": run.result["result"]["accuracy"],
        "rows": rows,
    }


def messages(store, run):
    return [event.message for event in store.events(run.id)]


def resumed(store, run):
    """Return where steps went on, in order."""
    return [message for message in messages(store, run) if " from epoch " in message]


@pytest.mark.chaos
def test_a_run_that_is_killed_wherever_it_can_be_ends_bit_by_bit_like_an_unbroken_one(
    store, drive, unbroken
):
    deaths = [
        # in mid-epoch, a step after the last state; then while the next state is written
        ["step", "distill", 13],
        ["half saved", "distill", 1],
        # at the end of an epoch, between its state and its figures; then just after the figures
        ["saved", "distill", 3],
        ["recorded", "distill", 3],
        # between the steps of the recipe: what was trained is kept, and the next has not begun
        ["stored", "distill", 1],
        ["begins", "finetune_quantized", 1],
        # in the first epoch of the next one, before any state of it was saved
        ["step", "finetune_quantized", 2],
    ]
    run = submit(store, dies=deaths)
    drive(jobs=PATH, threads=1).until_idle()
    assert outcome(store, run) == unbroken
    assert sum("killed by signal 9" in message for message in messages(store, run)) == len(deaths)
    assert resumed(store, run) == [
        "distill from epoch 2, step 2",
        "distill from epoch 2, step 2",
        "distill from epoch 4, step 0",
        "distill from epoch 4, step 0",
    ]
    assert not checkpoints_of(store.kept, run.id).root.exists()


@pytest.mark.chaos
def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(store, drive, unbroken):
    run = submit(store, dies=[["step", "distill", 13]])
    driver = drive(jobs=PATH, threads=1)
    driver.until(lambda: any("killed by signal 9" in text for text in messages(store, run)))
    _, newest = sorted(checkpoints_of(store.kept, run.id).root.glob("*/*.checkpoint"))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    driver.until_idle()
    assert resumed(store, run) == ["distill from epoch 2, step 0"]
    assert (
        "The newest checkpoint of 'distill' is damaged; the one before it, of attempt 1, is used."
    ) in messages(store, run)
    assert outcome(store, run) == unbroken


# --- asked to stop ------------------------------------------------------------------------------


@pytest.fixture
def begun(store, drive, clock):
    """Return a function that drives a run to a point: the run, and its driver."""
    driver = drive(jobs=PATH, threads=1, clock=clock)

    def begun(**fate):
        run = submit(store, **fate)
        driver.until(lambda: "It is there." in messages(store, run))
        return run, driver

    return begun


def test_a_run_in_a_long_training_step_is_gone_within_two_seconds_and_can_still_be_resumed(
    store, begun, clock
):
    run, driver = begun(hangs=["step", "distill", 13])
    process = driver.child(run)
    store.cancel(run.id)
    assert store.get(run.id).state is State.CANCELLED
    driver.supervisor.tick()  # POLL_S later at the latest
    clock.now += GRACE_S - 0.01
    driver.supervisor.tick()
    assert process.poll() is None
    clock.now += 0.02
    driver.supervisor.tick()
    assert process.wait(timeout=LIMIT_S) == -signal.SIGKILL
    driver.until_idle()
    assert store.get(run.id).state is State.CANCELLED
    store.resume(run.id)
    driver.until_idle()
    assert store.get(run.id).state is State.FINISHED
    assert resumed(store, run) == ["distill from epoch 2, step 2"]


def test_a_run_paused_in_mid_epoch_saves_at_once_and_ends_bit_by_bit_like_an_unbroken_one(
    store, begun, unbroken
):
    run, driver = begun(waits=["step", "distill", 13], every=10**6)
    process = driver.child(run)
    store.pause(run.id)
    driver.until_idle()
    assert process.returncode == 0
    assert (store.get(run.id).state, resumed(store, run)) == (State.PAUSED, [])
    store.resume(run.id)
    driver.until_idle()
    # Three steps of epoch 2 were made, and the one it was asked to stop in.
    assert resumed(store, run) == ["distill from epoch 2, step 4"]
    assert outcome(store, run) == unbroken


def test_a_run_that_waits_for_a_worker_is_cancelled_and_paused_at_once(store, drive):
    first, second = submit(store), submit(store)
    store.cancel(first.id)
    store.pause(second.id)
    assert store.get(first.id).state is State.CANCELLED
    assert store.get(second.id).state is State.PAUSED
    driver = drive(jobs=PATH, threads=1)
    driver.supervisor.tick()
    assert driver.supervisor.children == []
    assert [store.get(run.id).attempt for run in (first, second)] == [0, 0]
