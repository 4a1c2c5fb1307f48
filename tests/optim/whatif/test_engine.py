"""Cached, in pieces, and equal to what a whole run gives."""

from dataclasses import replace

import numpy as np
import pytest

from optim.data import DataOptions, open_data
from optim.data.added import add_data, set_data_options
from optim.errors import Cancelled, ConfigError, DataError, UnsupportedModelError
from optim.models.checkpoint import save_checkpoint
from optim.recipe import Recipe
from optim.runner import apply_recipe, measure
from optim.storage import store_home
from optim.stored import Kept, store_result
from optim.subject import open_subject
from optim.techniques.distill import Distill
from optim.techniques.finetune_quantized import FineTuneQuantized
from optim.techniques.prune_channels import PruneChannels
from optim.techniques.quantize import Quantize
from optim.whatif.answers import answer
from optim.whatif.engine import Engine

ALL = {"prune_channels": 1, "prune_weights": 1, "reestimate_batchnorm": 1, "quantize": 1}


def counted(applied):
    return {name: count for name, count in applied.items() if count}


def test_a_recipe_is_applied_once(engine, recipe, applied):
    bench = engine.workbench(recipe)
    first = bench.prepare(recipe, draft=False)
    assert counted(applied) == ALL
    again = bench.prepare(recipe, draft=False)
    assert counted(applied) == ALL
    assert again.bundle is first.bundle


def test_moving_the_last_step_never_computes_the_first_again(engine, recipe, applied):
    bench = engine.workbench(recipe)
    bench.prepare(recipe, draft=False)
    for bits in (2, 3, 4, 5, 6):
        bench.prepare(recipe.with_fields("quantize", weight_bits=bits), draft=False)
    assert counted(applied) == {**ALL, "quantize": 6}


def test_moving_a_middle_step_computes_what_follows(engine, recipe, applied):
    bench = engine.workbench(recipe)
    bench.prepare(recipe, draft=False)
    bench.prepare(recipe.with_fields("prune_weights", sparsity=0.4), draft=False)
    assert counted(applied) == {
        "prune_channels": 1,
        "prune_weights": 2,
        "reestimate_batchnorm": 2,
        "quantize": 2,
    }


def test_going_back_computes_nothing(engine, recipe, applied):
    bench = engine.workbench(recipe)
    bench.prepare(recipe, draft=False)
    bench.prepare(recipe.with_fields("prune_channels", pruning_ratio=0.5), draft=False)
    before = counted(applied)
    bench.prepare(recipe, draft=False)
    assert counted(applied) == before


def test_sessions_share_what_is_known(engine, recipe, applied):
    engine.workbench(recipe).prepare(recipe, draft=False)
    engine.workbench(recipe).prepare(recipe, draft=False)
    assert counted(applied) == ALL


def test_data_that_are_read_otherwise_are_opened_anew(engine, recipe, tmp_path):
    samples = open_data("digits").part("test")
    np.savez(tmp_path / "own.npz", x=samples.inputs, y=samples.targets)
    options = DataOptions(layout="NCHW")
    name = add_data(tmp_path / "own.npz", copy=True, listed=False, options=options).name
    own = replace(recipe, data=name)
    before = engine.workbench(own)
    assert engine.workbench(own) is before
    set_data_options(name, options.replace(class_names=tuple("9876543210")))
    after = engine.workbench(own)
    assert after.subject.data.task.class_names == tuple("9876543210")
    assert after.subject.hash != before.subject.hash


def test_memory_is_bounded_and_what_was_dropped_is_made_again(recipe, applied):
    engine = Engine(registered_only=True)
    engine.bundles.limit = 1
    bench = engine.workbench(recipe)
    first = bench.prepare(recipe, draft=False)
    second = bench.prepare(recipe, draft=False)
    assert first.bundle.hash == second.bundle.hash
    assert counted(applied) == dict.fromkeys(ALL, 2)
    assert engine.bundles.used <= 1


def test_reports_are_there_when_asked_for(engine, recipe):
    bench = engine.workbench(recipe)
    bench.prepare(recipe, draft=False)
    assert bench.prepare(recipe, draft=False).reports == {}
    assert set(bench.prepare(recipe, draft=False, reports=True).reports) == set(ALL)


def test_an_outline_is_computed_from_the_last_known_step_and_not_kept(engine, recipe, applied):
    bench = engine.workbench(recipe)
    exact = bench.prepare(recipe, draft=False)
    assert bench.outline(recipe).bundle is exact.bundle
    assert engine.outlined(bench.outline(recipe)) is engine.static(exact)
    moved = recipe.with_fields("quantize", weight_bits=4)
    before, known = counted(applied), engine.bundles.used
    outline = bench.outline(moved)
    assert (counted(applied), engine.bundles.used) == (before, known)
    assert outline.is_draft
    assert outline.key != bench.prepare(moved, draft=True).key


def test_the_answer_equals_that_of_a_whole_run(engine, recipe):
    """The engine's shortcuts change no figure: chunks, caches, memos."""
    bench = engine.workbench(recipe)
    prepared = bench.prepare(recipe, draft=False)
    card = bench.scorecard(prepared, bench.n_chunks)
    subject = open_subject(recipe, registered_only=True)
    bundle, _ = apply_recipe(recipe, subject)
    assert bundle.hash == prepared.bundle.hash
    expected, predictions = measure(bundle, subject.samples())
    assert card.main == expected.main
    assert (card.params, card.macs, card.sparsity) == (
        expected.params,
        expected.macs,
        expected.sparsity,
    )
    joined = bench.joined(prepared, bench.n_chunks)
    assert np.array_equal(joined.ids, predictions.ids)
    np.testing.assert_allclose(joined.outputs, predictions.outputs, atol=1e-4)


@pytest.mark.usefixtures("small_chunks")
def test_more_chunks_tighten_the_interval(engine, recipe):
    bench = engine.workbench(recipe)
    prepared = bench.prepare(recipe, draft=False)
    assert bench.n_chunks == 12
    found = [bench.scorecard(prepared, n).main for n in (1, 4, 12)]
    assert [q.n for q in found] == [32, 128, 362]
    widths = [q.half_width for q in found]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.usefixtures("small_chunks")
def test_every_chunk_is_a_fair_sample_and_none_overlaps(engine, recipe):
    bench = engine.workbench(recipe)
    prepared = bench.prepare(recipe, draft=False)
    chunks = [bench.predictions(prepared, i) for i in range(bench.n_chunks)]
    ids = np.concatenate([c.ids for c in chunks])
    assert len(set(ids.tolist())) == len(ids) == 362
    for chunk in chunks[:-1]:
        counts = np.bincount(chunk.targets, minlength=10)
        assert counts.min() >= 1
        assert counts.max() <= 6


@pytest.mark.usefixtures("small_chunks")
def test_both_models_see_the_same_samples(engine, recipe):
    bench = engine.workbench(recipe)
    candidate = bench.prepare(recipe, draft=False)
    baseline = bench.prepare(replace(recipe, entries=()), draft=False)
    for chunks in (1, 5, 12):
        first, second = bench.joined(baseline, chunks), bench.joined(candidate, chunks)
        assert np.array_equal(first.ids, second.ids)
        data = answer(bench, baseline, candidate, chunks, None)
        assert data["quality_change"]["difference"]["n"] == len(first) == data["n"]
        assert data["final"] == (chunks == 12)


def test_chunks_are_predicted_once(engine, recipe, monkeypatch):
    bench = engine.workbench(recipe)
    prepared = bench.prepare(recipe, draft=False)
    calls = []
    plain = type(bench)._chunk
    monkeypatch.setattr(
        type(bench), "_chunk", lambda self, *a: calls.append(a[1]) or plain(self, *a)
    )
    bench.joined(prepared, bench.n_chunks)
    bench.joined(prepared, bench.n_chunks)
    assert calls == list(range(bench.n_chunks))
    assert bench.known_chunks(prepared) == bench.n_chunks


def test_preparing_stops_between_steps_and_keeps_what_was_done(engine, recipe, applied):
    bench = engine.workbench(recipe)

    def stop_before_the_last():
        if applied["reestimate_batchnorm"]:
            raise Cancelled

    with pytest.raises(Cancelled):
        bench.prepare(recipe, draft=False, check=stop_before_the_last)
    bench.prepare(recipe, draft=False)
    assert applied["prune_channels"] == applied["prune_weights"] == 1


# --- drafts -------------------------------------------------------------------------------------


@pytest.fixture
def slow(monkeypatch):
    """As on a model so large that calibration takes long."""
    monkeypatch.setattr("optim.whatif.engine._CALIBRATION_MACS", 1)
    monkeypatch.setattr("optim.whatif.engine._DRAFT_SAMPLES", (32,))


@pytest.mark.usefixtures("slow")
def test_a_draft_is_marked_and_has_another_identity(engine, recipe):
    bench = engine.workbench(recipe)
    draft = bench.prepare(recipe, draft=True)
    whole = bench.prepare(recipe, draft=False)
    assert draft.is_draft
    assert not whole.is_draft
    assert draft.key != whole.key
    assert draft.bundle.hash != whole.bundle.hash
    baseline = bench.prepare(replace(recipe, entries=()), draft=False)
    shown = answer(bench, baseline, draft, bench.n_chunks, None)
    assert shown["draft"] is True
    assert shown["final"] is False, "a draft on all samples is still no final answer"
    assert answer(bench, baseline, whole, bench.n_chunks, None)["final"] is True


@pytest.mark.usefixtures("slow")
def test_what_is_known_in_full_is_never_drafted(engine, recipe):
    bench = engine.workbench(recipe)
    whole = bench.prepare(recipe, draft=False)
    again = bench.prepare(recipe, draft=True)
    assert not again.is_draft
    assert again.key == whole.key


def test_a_small_model_needs_no_draft(engine, recipe):
    assert not engine.workbench(recipe).prepare(recipe, draft=True).is_draft


# --- training steps -----------------------------------------------------------------------------


def test_a_training_step_is_looked_up_and_never_run(engine, recipe, applied):
    trained = recipe.with_step(Distill(epochs=3), 3)
    prepared = engine.workbench(trained).prepare(trained, draft=False)
    assert applied["distill"] == 0
    assert prepared.omitted == ("distill",)
    plain = engine.workbench(recipe).prepare(recipe, draft=False)
    assert prepared.bundle.hash == plain.bundle.hash
    baseline = engine.workbench(recipe).prepare(replace(recipe, entries=()), draft=False)
    bench = engine.workbench(trained)
    assert answer(bench, baseline, prepared, 1, None)["omitted"] == ["distill"]


def test_a_stored_student_is_found_by_what_led_to_it(engine, recipe, applied):
    trained = recipe.without("quantize").with_step(Distill(epochs=1, batch_size=512))
    subject = open_subject(trained, registered_only=True)
    student, _ = apply_recipe(trained, subject)
    key = trained.chain(subject.bundle.hash, subject.data.hash)[-1]
    path = save_checkpoint(student, store_home() / "students" / f"{key}.safetensors")
    before = dict(applied)
    try:
        found = engine.workbench(trained).prepare(trained, draft=False)
        assert found.omitted == ()
        assert found.bundle.hash == student.hash
        assert found.bundle.provenance.seen == student.provenance.seen
        assert applied == before, "nothing before the student was computed"
        other = trained.with_fields("distill", epochs=2)
        assert engine.workbench(other).prepare(other, draft=False).omitted == ("distill",)
    finally:
        path.unlink()


def test_a_student_is_found_when_the_one_it_started_from_is_gone(engine, recipe, applied):
    pruned = recipe.without("quantize").with_step(Distill(epochs=1, batch_size=512))
    twice = pruned.with_step(Quantize()).with_step(FineTuneQuantized(epochs=1, batch_size=512))
    subject = open_subject(twice, registered_only=True)
    student, _ = apply_recipe(twice, subject)
    key = twice.chain(subject.bundle.hash, subject.data.hash)[-1]
    path = store_result(key, student)
    try:
        bench = engine.workbench(twice)
        known = bench.prepare(twice, draft=False)
        assert known.omitted == ()
        assert known.bundle.hash == student.hash
        assert bench.outline(twice).bundle.hash == student.hash
        reports = bench.prepare(twice, draft=False, reports=True).reports
        assert set(reports) == {*ALL, "finetune_quantized"} - {"quantize"}
    finally:
        path.unlink()


def test_a_student_that_is_removed_meanwhile_is_said_to_be(engine, recipe, monkeypatch):
    trained = recipe.without("quantize").with_step(Distill(epochs=7))
    monkeypatch.setattr("optim.whatif.engine.kept_of", lambda recipe, keys: Kept())
    with pytest.raises(ConfigError, match="not stored any more"):
        engine.workbench(trained).prepare(trained, draft=False)


# --- what may be opened -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model", ["../../etc/passwd", "resnet20:/etc/passwd", "mlp", "/tmp/x.onnx"]
)
def test_a_link_opens_registered_models_only(engine, model):
    with pytest.raises(UnsupportedModelError, match="no registered model"):
        engine.workbench(Recipe(model, "digits"))


@pytest.mark.parametrize("data", ["/etc", "../shared", "file.zip", "./wine"])
def test_a_link_opens_registered_data_only(engine, registered, data):
    with pytest.raises(DataError, match="no registered data"):
        engine.workbench(Recipe(registered, data))


def test_data_that_do_not_fit_are_refused(engine, registered):
    with pytest.raises(DataError, match=r"takes inputs of shape \(1, 8, 8\)"):
        engine.workbench(Recipe(registered, "wine"))


# --- shared memory ------------------------------------------------------------------------------


@pytest.mark.parametrize("importance", ["random", "taylor", "magnitude"])
def test_what_is_remembered_depends_on_seed_and_data(registered, importance):
    """One engine serves everybody: another seed or other data must find nothing of the first."""
    engine = Engine(registered_only=True)
    for data in ("digits", "digits?seed=1"):
        for seed in (0, 1):
            step = PruneChannels(pruning_ratio=0.5, importance=importance)
            recipe = Recipe(registered, data, seed=seed).with_step(step).with_step(Quantize())
            shared = engine.workbench(recipe).prepare(recipe, draft=False)
            alone = Engine(registered_only=True).workbench(recipe).prepare(recipe, draft=False)
            assert shared.bundle.hash == alone.bundle.hash
