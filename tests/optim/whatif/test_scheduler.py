"""Who is answered next: newest first, then neighbours, then precision; nobody starves."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from optim.errors import OptimError
from optim.measure.latency import pair_of
from optim.runtime.latency import LatencySamples
from optim.techniques import TECHNIQUES
from optim.techniques.prune_weights import PruneWeights
from optim.whatif.latency import LatencySetting
from optim.whatif.scheduler import Move, Scheduler, Slider


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Panel:
    """Keeps what a session is told."""

    def __init__(self):
        self.messages = []

    def __call__(self, message):
        json.dumps(message, allow_nan=False)
        self.messages.append(message)

    def own(self):
        return [m for m in self.messages if m["type"] == "answer" and m["stop"] is None]

    def stops(self):
        return [tuple(m["stop"]) for m in self.messages if m["type"] == "answer" and m["stop"]]


BITS = Slider("quantize", "weight_bits", ("ternary", 2, 3, 4, 5, 6, 7, 8, 16, "float"))
SPARSITY = Slider("prune_weights", "sparsity", (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def scheduler(engine, clock):
    return Scheduler(engine, clock)


@pytest.fixture
def quick(recipe):
    """Only what is computed in milliseconds."""
    return replace(recipe, entries=tuple(e for e in recipe.entries if e.id == "prune_weights"))


def drain(scheduler, limit=200):
    for _ in range(limit):
        if not scheduler.step():
            return
    raise AssertionError("there is no end of work")


@pytest.mark.usefixtures("small_chunks")
def test_a_first_answer_comes_at_once_and_tightens_up_to_all_samples(scheduler, recipe):
    panel = Panel()
    scheduler.submit("a", Move(1, recipe), panel)
    assert scheduler.step()
    (first,) = panel.own()
    assert (first["n"], first["of"], first["final"]) == (32, 362, False)
    assert first["quality"]["low"] < first["quality"]["high"]
    drain(scheduler)
    sizes = [m["n"] for m in panel.own()]
    assert sizes == sorted(sizes)
    last = panel.own()[-1]
    assert (last["n"], last["final"]) == (362, True)
    widths = [m["quality"]["high"] - m["quality"]["low"] for m in panel.own()]
    assert widths[-1] < widths[0]
    assert last["sizes"]["entropy"]["how"] == "measured"


@pytest.fixture
def slow(monkeypatch):
    """A machine that a first answer takes seconds on."""
    monkeypatch.setattr("optim.whatif.engine._CHUNKS", (32,))
    monkeypatch.setattr("optim.whatif.engine._FIRST_CHUNK_MACS", 1.0)
    monkeypatch.setattr("optim.whatif.engine._PIECE_MACS", 1.0)


@pytest.mark.usefixtures("slow")
def test_sizes_of_a_large_model_come_before_any_sample_is_looked_at(scheduler, recipe, applied):
    panel = Panel()
    scheduler.submit("a", Move(1, recipe), panel)
    assert scheduler.step()
    (sizes,) = panel.messages
    assert (sizes["type"], sizes["request_id"]) == ("sizes", 1)
    assert sizes["file"]["how"] == sizes["macs"]["how"] == "estimated"
    assert applied["reestimate_batchnorm"] == applied["quantize"] == 0
    assert scheduler.engine.predictions.used == scheduler.engine.bundles.used == 0
    scheduler.step()
    (first,) = panel.own()
    assert first["n"] == 32
    for name in ("macs", "params"):
        assert first[name] == {**sizes[name], "how": "measured"}
    # Which grids have a zero point in common, and store it once, only samples can say.
    assert first["file"]["how"] == "measured"
    assert first["file"]["value"] == pytest.approx(sizes["file"]["value"], rel=0.005)
    assert first["left"]["how"] == "estimated"
    assert first["left"]["value"] > 0
    drain(scheduler)
    assert panel.own()[-1]["left"]["value"] == 0


@pytest.mark.usefixtures("slow")
def test_sizes_of_a_large_model_do_not_wait_for_the_work_in_hand(engine, clock, quick):
    beside = []
    scheduler, panel = Scheduler(engine, clock, beside.append), Panel()

    def in_the_other_thread():
        while beside:
            beside.pop(0)()

    scheduler.submit("a", Move(1, quick), panel)
    assert not beside, "the model is not open yet"
    scheduler.step()
    in_the_other_thread()
    assert [m["type"] for m in panel.messages] == ["sizes"]
    for number in (2, 3):
        scheduler.submit("a", Move(number, quick.with_fields("prune_weights", sparsity=0.1)), panel)
    in_the_other_thread()
    assert [m["request_id"] for m in panel.messages] == [1, 3], "only the newest is wanted"
    assert engine.predictions.used == 0


@pytest.mark.usefixtures("slow")
def test_a_first_answer_stops_between_two_samples_when_the_slider_moves_on(
    scheduler, quick, monkeypatch
):
    panel, seen = Panel(), []
    newer = quick.with_fields("prune_weights", sparsity=0.4)
    plain = scheduler.engine.runner

    def runner_that_is_overtaken(prepared):
        def run(x):
            seen.append(len(x))
            scheduler.submit("a", Move(2, newer), panel)
            return plain(prepared)(x)

        return run

    scheduler.submit("a", Move(1, quick), panel)
    scheduler.step()
    monkeypatch.setattr(scheduler.engine, "runner", runner_that_is_overtaken)
    scheduler.step()
    assert seen == [1]
    monkeypatch.undo()
    drain(scheduler)
    assert [m["request_id"] for m in panel.messages[:3]] == [1, 2, 2]


def test_the_neighbours_come_before_the_rest(scheduler, quick):
    panel = Panel()
    move = Move(1, quick, (SPARSITY,), focus=0)
    scheduler.submit("a", move, panel)
    for _ in range(3):
        scheduler.step()
    assert panel.stops() == [(0, 0.4), (0, 0.2)]
    drain(scheduler)
    assert panel.stops() == [(0, 0.4), (0, 0.2), (0, 0.1), (0, 0.5), (0, 0.0), (0, 0.6)]


def test_the_slider_last_moved_comes_first(scheduler, recipe):
    panel = Panel()
    scheduler.submit("a", Move(1, recipe, (SPARSITY, BITS), focus=1), panel)
    for _ in range(5):
        scheduler.step()
    assert panel.stops() == [(1, 16), (1, 7), (0, 0.4), (0, 0.2)]


def test_a_neighbour_is_known_when_the_slider_gets_there(scheduler, recipe, applied):
    panel = Panel()
    scheduler.submit("a", Move(1, recipe, (BITS,), focus=0), panel)
    for _ in range(3):
        scheduler.step()
    before = dict(applied)
    scheduler.submit("a", Move(2, recipe.with_fields("quantize", weight_bits=7), (BITS,)), panel)
    scheduler.step()
    assert panel.own()[-1]["request_id"] == 2
    assert applied == before


def test_a_newer_position_replaces_the_older(scheduler, recipe):
    panel = Panel()
    for number, bits in enumerate((8, 6, 4), start=1):
        moved = recipe.with_fields("quantize", weight_bits=bits)
        scheduler.submit("a", Move(number, moved), panel)
    drain(scheduler)
    assert {m["request_id"] for m in panel.messages} == {3}


@pytest.mark.usefixtures("small_chunks")
def test_work_in_progress_stops_when_a_newer_position_arrives(scheduler, recipe, monkeypatch):
    panel = Panel()
    scheduler.submit("a", Move(1, recipe), panel)
    scheduler.step()
    newer = recipe.with_fields("quantize", weight_bits=4)
    plain = type(scheduler.engine.workbench(recipe)).predictions
    chunks = []

    def predict_and_move(self, prepared, index, check):
        chunks.append(index)
        if len(chunks) == 2:
            scheduler.submit("a", Move(2, newer), panel)
        return plain(self, prepared, index, check)

    monkeypatch.setattr(type(scheduler.engine.workbench(recipe)), "predictions", predict_and_move)
    scheduler.step()  # refines, is interrupted between two chunks
    assert len(chunks) == 2
    assert [m["request_id"] for m in panel.messages] == [1]
    monkeypatch.undo()
    scheduler.step()
    assert panel.own()[-1]["request_id"] == 2


def test_a_first_answer_that_is_out_of_date_is_not_finished(scheduler, recipe, applied):
    panel = Panel()
    newer = recipe.with_fields("quantize", weight_bits=4)

    class MovesAway(PruneWeights):
        """The slider moves while this step is being applied."""

        def apply(self, bundle, context):
            scheduler.submit("a", Move(2, newer), panel)
            return super().apply(bundle, context)

    entries = tuple(
        replace(e, step=MovesAway(sparsity=0.9)) if e.id == "prune_weights" else e
        for e in recipe.entries
    )
    TECHNIQUES["moves_away"] = MovesAway
    try:
        scheduler.submit("a", Move(1, replace(recipe, entries=entries)), panel)
        scheduler.step()
    finally:
        del TECHNIQUES["moves_away"]
    assert panel.messages == []
    assert applied["quantize"] == 0
    scheduler.step()
    assert panel.own()[-1]["request_id"] == 2


@pytest.mark.usefixtures("small_chunks")
def test_a_first_answer_interrupts_what_can_wait(scheduler, recipe, quick, monkeypatch):
    slow, urgent = Panel(), Panel()
    scheduler.submit("slow", Move(1, recipe), slow)
    scheduler.step()
    bench = type(scheduler.engine.workbench(recipe))
    plain, chunks = bench.predictions, []

    def predict_and_be_asked(self, prepared, index, check):
        chunks.append(index)
        if len(chunks) == 1:
            scheduler.submit("urgent", Move(1, quick), urgent)
        return plain(self, prepared, index, check)

    monkeypatch.setattr(bench, "predictions", predict_and_be_asked)
    scheduler.step()
    assert len(chunks) == 1, "it stops at the next safe point"
    monkeypatch.undo()
    scheduler.step()
    assert urgent.own()
    drain(scheduler)
    assert slow.own()[-1]["final"], "and goes on later"


def test_nothing_is_said_to_a_session_that_is_gone(scheduler, recipe):
    panel = Panel()
    scheduler.submit("a", Move(1, recipe), panel)
    scheduler.close("a")
    drain(scheduler)
    assert panel.messages == []
    scheduler.close("never there")


def test_sessions_take_turns(scheduler, recipe, quick):
    first, second = Panel(), Panel()
    scheduler.submit("a", Move(1, quick, (SPARSITY,), 0), first)
    scheduler.submit("b", Move(1, recipe, (BITS,), 0), second)
    for turns in (1, 2, 3):
        scheduler.step()
        scheduler.step()
        assert len(first.messages) == len(second.messages) == turns


def test_one_that_keeps_moving_does_not_starve_the_others(scheduler, quick):
    busy, calm = Panel(), Panel()
    scheduler.submit("calm", Move(1, quick), calm)
    for number in range(4):
        moved = quick.with_fields("prune_weights", sparsity=0.1 * number)
        scheduler.submit("busy", Move(number, moved), busy)
        scheduler.step()
        scheduler.step()
    assert calm.own()


def test_first_answers_to_a_crowd_are_of_fewer_samples_and_soon_completed(scheduler, quick):
    panels = [Panel() for _ in range(4)]
    for number, panel in enumerate(panels):
        recipe = quick.with_fields("prune_weights", sparsity=number / 10)
        scheduler.submit(str(number), Move(1, recipe, (SPARSITY,)), panel)
    for _ in panels:
        scheduler.step()
    assert [[m["n"] for m in panel.own()] for panel in panels] == [[64]] * 4
    assert torch.get_num_threads() == 1
    for _ in panels:
        scheduler.step()
    assert [[m["n"] for m in panel.messages] for panel in panels] == [[64, 256]] * 4
    drain(scheduler, 400)
    assert all(panel.own()[-1]["final"] for panel in panels)


def test_a_crowd_is_who_moved_of_late(scheduler, quick, clock):
    for number in range(4):
        scheduler.submit(str(number), Move(1, quick), Panel())
    drain(scheduler)
    clock.now = 60.0
    panel = Panel()
    scheduler.submit("last", Move(1, quick.with_fields("prune_weights", sparsity=0.5)), panel)
    scheduler.step()
    assert panel.own()[0]["n"] == 256


def test_questions_come_first(scheduler, quick):
    panel, order = Panel(), []
    scheduler.submit("a", Move(1, quick), lambda m: order.append("answer"))
    scheduler.ask(lambda: order.append("question"))
    scheduler.step()
    scheduler.step()
    assert order == ["question", "answer"]
    assert panel.messages == []


# --- errors -------------------------------------------------------------------------------------


def test_what_is_wrong_goes_to_the_panel_with_its_field(scheduler, quick):
    panel = Panel()
    wrong = quick.with_fields("prune_weights", layers={"conv99": 0.5})
    scheduler.submit("a", Move(7, wrong), panel)
    drain(scheduler)
    (message,) = panel.messages
    assert message["type"] == "error"
    assert message["request_id"] == 7
    assert "conv99" in message["message"]
    assert message["field"] == "layers"


def test_an_error_ends_nothing_but_its_own_position(scheduler, quick):
    panel, other = Panel(), Panel()
    scheduler.submit("a", Move(1, replace(quick, model="gone")), panel)
    scheduler.submit("b", Move(1, quick), other)
    drain(scheduler)
    assert other.own()
    scheduler.submit("a", Move(2, quick), panel)
    drain(scheduler)
    assert panel.own()[-1]["request_id"] == 2


def test_a_bug_in_a_technique_does_not_end_the_evaluator(scheduler, quick, monkeypatch, caplog):
    panel = Panel()

    def broken(self, bundle, context):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(PruneWeights, "apply", broken)
    scheduler.submit("a", Move(1, quick), panel)
    drain(scheduler)
    assert panel.messages[0]["message"] == "The evaluator failed here; its log has the details."
    assert "a bug" in caplog.text


def test_an_illegal_stop_is_left_out_in_silence(scheduler, recipe):
    panel = Panel()
    odd = Slider("prune_weights", "sparsity", (0.1, 0.3, 7.0, "x"))
    scheduler.submit("a", Move(1, recipe, (odd,)), panel)
    with pytest.raises(OptimError):
        odd.at(recipe, 7.0)
    drain(scheduler)
    assert {m["type"] for m in panel.messages} == {"answer"}
    assert panel.stops() == [(0, 0.1)]


# --- latency ------------------------------------------------------------------------------------


@pytest.fixture
def measured(monkeypatch):
    """Latency without a clock: the candidate takes half as long."""
    calls = []

    def compare(baseline, candidate, inputs, threads, *, interface, check):
        calls.append((len(inputs), threads))
        blocks = {"baseline": np.full(10, 2.0), "candidate": np.full(10, 1.0)}
        return pair_of(LatencySamples(blocks, len(inputs), threads))

    monkeypatch.setattr("optim.whatif.scheduler.compare_files", compare)
    return calls


def test_latency_waits_until_nobody_moves(scheduler, quick, clock, measured):
    panel = Panel()
    scheduler.submit("a", Move(1, quick), panel)
    drain(scheduler)
    assert measured == []
    assert panel.own()[-1]["latency"] is None
    clock.now = 1.0
    drain(scheduler)
    assert measured == [(1, 1)]
    last = panel.own()[-1]
    assert last["latency"]["how"] == "measured"
    assert last["latency_change"]["difference"]["value"] == 0.5
    assert "2.0x faster" in last["verdict"]


def test_an_estimate_is_labelled_and_never_in_the_verdict(scheduler, quick, clock, measured):
    panel = Panel()
    scheduler.submit("a", Move(1, quick), panel)
    clock.now = 1.0
    drain(scheduler)
    scheduler.submit("a", Move(2, quick.with_fields("prune_weights", sparsity=0.4)), panel)
    scheduler.step()
    last = panel.own()[-1]
    assert last["latency"]["how"] == "estimated"
    assert "faster" not in last["verdict"]
    assert len(measured) == 1


def test_batch_and_threads_are_measured_as_set(scheduler, quick, clock, measured):
    setting = LatencySetting(batch_size=8, threads=2)
    scheduler.submit("a", Move(1, quick, setting=setting), Panel())
    clock.now = 1.0
    drain(scheduler)
    assert measured == [(8, 2)]


def test_a_batch_of_more_than_there_are_samples_is_measured_all_the_same(
    scheduler, quick, clock, measured
):
    few = replace(quick, data="wine", model="wine-mlp")
    setting = LatencySetting(batch_size=256)
    scheduler.submit("a", Move(1, few, setting=setting), Panel())
    clock.now = 1.0
    drain(scheduler)
    assert len(scheduler.engine.workbench(few).samples) < 256
    assert measured == [(256, 1)]


def test_latency_is_measured_once_for_one_setting(scheduler, quick, clock, measured):
    scheduler.submit("a", Move(1, quick), Panel())
    scheduler.submit("b", Move(1, quick), Panel())
    clock.now = 1.0
    drain(scheduler)
    assert len(measured) == 1


# --- sliders ------------------------------------------------------------------------------------


def test_a_slider_knows_its_nearest_stop(recipe):
    assert SPARSITY.position(recipe) == 3
    between = recipe.with_fields("prune_weights", sparsity=0.33)
    assert SPARSITY.position(between) == 3
    assert BITS.position(recipe) == 7
    assert BITS.position(recipe.with_fields("quantize", weight_bits="float")) == 9


def test_a_switch_is_a_slider_of_two_stops(recipe):
    switch = Slider("quantize", "enabled", (False, True))
    assert switch.position(recipe) == 1
    assert not switch.at(recipe, False).entry("quantize").enabled
