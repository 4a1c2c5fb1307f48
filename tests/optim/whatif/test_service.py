"""Lines of JSON in and out; a bad one is answered, and the next one as well."""

import io
import json
import threading
import time

import pytest

from optim.export.downloads import find_export
from optim.export.verify import Verification
from optim.recipe import Recipe
from optim.whatif import service as service_module
from optim.whatif.questions import QUESTIONS
from optim.whatif.service import Service, _read


@pytest.fixture
def said():
    return []


@pytest.fixture
def service(engine, said):
    return Service(engine, lambda message: said.append(json.loads(json.dumps(message))))


def work(service):
    for _ in range(100):
        if not service.scheduler.step():
            return


def move(recipe, number=1, session="s", **more):
    return {
        "type": "move",
        "session": session,
        "request_id": number,
        "recipe": recipe.to_json(),
        **more,
    }


def asked(recipe, question, **arguments):
    return {
        "type": "ask",
        "id": 5,
        "question": question,
        "recipe": recipe.to_json(),
        "arguments": arguments,
    }


def ask(service, said, recipe, question, **arguments):
    service.receive(asked(recipe, question, **arguments))
    work(service)
    return next(m for m in said if m["type"] == "reply")


def test_a_question_that_was_taken_back_is_not_worked_on(service, said, recipe):
    service.receive({"type": "cancel", "id": 5})
    service.receive(asked(recipe, "model"))
    work(service)
    assert said == []


def test_work_without_an_end_ends_the_process_and_says_on_what(service, said, recipe, monkeypatch):
    monkeypatch.setattr(service_module, "_STUCK_S", 0.2)
    monkeypatch.setattr(service_module, "_WATCH_S", 0.02)
    ended, released = threading.Event(), threading.Event()
    monkeypatch.setitem(QUESTIONS, "model", lambda engine, recipe: released.wait(30) and {})
    service.receive(asked(recipe, "model"))
    watching = threading.Thread(target=service.watch, args=(ended.set,))
    working = threading.Thread(target=service.scheduler.step)
    watching.start()
    working.start()
    assert ended.wait(30)
    released.set()
    working.join()
    watching.join()
    assert said[0] == {"type": "stuck", "model": recipe.model, "data": recipe.data}


def test_work_that_goes_on_is_not_taken_for_endless(service, recipe, monkeypatch):
    monkeypatch.setattr(service_module, "_STUCK_S", 2.0)
    monkeypatch.setattr(service_module, "_WATCH_S", 0.02)
    ended = threading.Event()
    watching = threading.Thread(target=service.watch, args=(ended.set,))
    service.receive(move(recipe))
    (session,) = service.scheduler._sessions.values()
    service.scheduler.busy_since = time.monotonic()
    watching.start()
    until = time.monotonic() + 3
    while time.monotonic() < until:  # as pieces of work do
        service.scheduler._check(session, 0)
        time.sleep(0.02)
    assert not ended.is_set()
    service.stop()
    watching.join()
    work(service)
    assert service.scheduler.busy_since is None


def test_a_move_is_answered_to_its_session(service, said, recipe):
    service.receive(move(recipe, 4, "one"))
    work(service)
    assert {(m["session"], m["request_id"]) for m in said} == {("one", 4)}
    assert said[-1]["final"]


def test_sliders_arrive_with_their_stops(service, said, recipe):
    slider = {"entry": "quantize", "field": "weight_bits", "stops": [7, 8, 16]}
    service.receive(
        move(recipe, sliders=[slider], focus=0, latency={"batch_size": 2, "threads": 1})
    )
    work(service)
    assert {tuple(m["stop"]) for m in said if m["stop"]} == {(0, 7), (0, 16)}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"steps": [{"quantize": {"weight_bits": 9}}]}, "quantize.weight_bits"),
        ({"steps": [{"quantize": {"weight_bits": []}}]}, "quantize.weight_bits"),
        ({"steps": [{"quantize": {"samples": 1e99}}]}, "quantize.samples"),
        ({"steps": ["quantize", "prune_weights"]}, "prune_weights"),
        ({"version": 3}, "version"),
        ({"seed": "x"}, "seed"),
    ],
)
def test_a_bad_recipe_gives_a_field_error_and_the_next_is_answered(
    service, said, recipe, change, field
):
    service.receive({**move(recipe, 8), "recipe": {**recipe.to_json(), **change}})
    (error,) = said
    assert (error["type"], error["request_id"], error["session"]) == ("error", 8, "s")
    assert error["field"] == field
    assert error["message"]
    service.receive(move(recipe, 9))
    work(service)
    assert said[-1]["request_id"] == 9
    assert said[-1]["type"] == "answer"


def test_lines_that_make_no_sense_do_not_end_the_evaluator(service, said, recipe, caplog):
    lines = [
        "no json",
        "[]",
        "{}",
        "null",
        '{"type": "move"}',
        '{"type": "move", "request_id": 1}',
        '{"type": "move", "request_id": 1, "recipe": 3, "sliders": 4}',
        json.dumps(move(recipe, sliders=[{"entry": "x"}])),
        '{"type": "unknown"}',
        "",
        json.dumps(move(recipe, 12)),
    ]
    stopped = []
    service.stop = lambda: stopped.append(True)
    _read(io.StringIO("\n".join(lines)), service)
    work(service)
    assert stopped == [True], "only the end of the input stops it"
    assert said[-1]["request_id"] == 12
    assert "message refused" in caplog.text


def test_a_closed_session_hears_nothing(service, said, recipe):
    service.receive(move(recipe))
    service.receive({"type": "close", "session": "s"})
    work(service)
    assert said == []


# --- questions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("question", ["model", "layers", "classes", "sizes"])
def test_a_question_is_answered_with_plain_data(service, said, recipe, question):
    reply = ask(service, said, recipe, question)
    assert reply["id"] == 5
    assert "error" not in reply
    assert reply["result"]


def test_the_layer_table_adds_up(service, said, recipe):
    result = ask(service, said, recipe, "layers")["result"]
    rows = {row["layer"]: row for row in result["rows"]}
    assert sum(row["size_share"] for row in rows.values()) == pytest.approx(1, abs=0.02)
    spent = sum(row["time_share"] for row in rows.values())
    assert spent + result["other_time"] == pytest.approx(1)
    assert rows["linear"]["fixed"] == "its outputs are the model's outputs"
    assert rows["conv1"]["group"]
    assert all(row["bits"] == 8 for row in rows.values())
    assert all(row["macs"] <= row["macs_before"] for row in rows.values())
    assert set(result["reports"]) == {entry.id for entry in recipe.entries}


def test_classes_and_confusion_agree(service, said, recipe):
    result = ask(service, said, recipe, "classes")["result"]
    confusion = result["confusion"]
    assert sum(map(sum, confusion)) == 362
    for i, row in enumerate(result["classes"]):
        assert row["after"]["value"] == pytest.approx(confusion[i][i] / sum(confusion[i]))


def test_a_weight_has_the_values_its_bits_allow(service, said, recipe):
    coarse = recipe.with_fields("quantize", weight_bits=2, granularity="per_tensor")
    result = ask(service, said, coarse, "weights", layer="linear")["result"]
    assert result["values"] <= 4
    assert sum(result["before"]) == sum(result["after"]) or result["after"]
    assert len(result["edges"]) == len(result["before"]) + 1


def test_an_unknown_layer_is_a_field_error(service, said, recipe):
    error = ask(service, said, recipe, "weights", layer="conv99")["error"]
    assert error["kind"] == "ConfigError"
    assert error["field"] == "layer"


def test_sizes_are_those_of_both_models(service, said, recipe):
    result = ask(service, said, recipe, "sizes")["result"]
    assert result["original"]["dense"]["value"] > result["compressed"]["bit_width"]["value"]
    assert set(result["original"]) == {"dense", "bit_width", "sparse", "entropy", "file"}


@pytest.mark.parametrize("target", ["onnx", "onnx_float", "safetensors"])
def test_an_export_is_verified_and_kept(service, said, recipe, target):
    result = ask(service, said, recipe, "export", target=target)["result"]
    path = find_export(result["token"], result["name"])
    assert path.stat().st_size == result["bytes"]
    assert result["verification"]["passed"]
    assert result["verification"]["agreement"]["low"] >= 0.99
    assert "/" not in result["name"]


def test_a_file_that_fails_its_verification_is_not_handed_out(service, said, recipe, monkeypatch):
    monkeypatch.setattr(Verification, "problem", property(lambda self: "It differs."))
    error = ask(service, said, recipe, "export", target="onnx")["error"]
    assert error["kind"] == "ParityError"
    assert error["message"] == "It differs."


@pytest.mark.parametrize(
    "message",
    [
        {"question": "secrets"},
        {"question": "weights"},
        {"question": "model", "arguments": {"a": 1}},
    ],
)
def test_a_question_that_cannot_be_answered_gets_a_sentence(service, said, recipe, message, caplog):
    service.receive({"type": "ask", "id": 1, "recipe": recipe.to_json(), **message})
    work(service)
    (reply,) = said
    assert reply["error"]["kind"] == "RunError"
    assert "log has the details" in reply["error"]["message"]
    assert caplog.records


def test_a_question_about_a_bad_recipe_names_the_field(service, said):
    service.receive({"type": "ask", "id": 1, "question": "model", "recipe": {"version": 3}})
    work(service)
    assert said[0]["error"]["field"] == "version"


def test_every_question_is_documented():
    assert all(question.__doc__ for question in QUESTIONS.values())


def test_a_model_that_is_not_registered_is_refused(service, said):
    service.receive(
        {"type": "ask", "id": 1, "question": "model", "recipe": Recipe("mlp", "wine").to_json()}
    )
    work(service)
    assert said[0]["error"]["kind"] == "UnsupportedModelError"
