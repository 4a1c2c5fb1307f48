"""The real child process: it answers, it dies, and its client goes on."""

import os
import queue
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from optim.errors import ConfigError, OptimError, RunError, UnsupportedModelError
from optim.recipe import Recipe
from optim.whatif import client as client_module
from optim.whatif.client import EvaluatorClient, _as_error

WAIT_S = 60


@pytest.fixture(scope="module")
def client(registered):
    client = EvaluatorClient()
    yield client
    client.stop()


def position(recipe, number=1):
    return {"request_id": number, "recipe": recipe.to_json()}


def until(inbox, wanted):
    """Return the first message for which ``wanted`` holds."""
    while True:
        message = inbox.get(timeout=WAIT_S)
        if wanted(message):
            return message


def test_it_starts_when_it_is_needed_and_answers(client, recipe):
    assert client.ask("model", recipe)["name"] == "Tiny"
    assert client.is_running


def test_a_move_is_answered_to_its_own_listener(client, recipe):
    inboxes = {name: queue.Queue() for name in ("one", "two")}
    for name, inbox in inboxes.items():
        client.listen(name, inbox.put)
    client.move("one", position(recipe, 5))
    answer = until(inboxes["one"], lambda m: m["type"] == "answer")
    assert (answer["session"], answer["request_id"]) == ("one", 5)
    final = until(inboxes["one"], lambda m: m.get("final"))
    assert final["n"] == 362
    assert inboxes["two"].empty()
    for name in inboxes:
        client.close(name)


def test_errors_arrive_as_what_they_were(client, recipe):
    with pytest.raises(UnsupportedModelError, match="no registered model 'gone'"):
        client.ask("model", Recipe("gone", "digits"))
    with pytest.raises(ConfigError, match="no layer 'x'") as caught:
        client.ask("weights", recipe, layer="x")
    assert caught.value.field == "layer"
    with pytest.raises(RunError, match="failed on this question"):
        client.ask("no such question", recipe)
    assert client.ask("model", recipe)


def test_many_may_ask_at_once(client, recipe):
    with ThreadPoolExecutor(8) as pool:
        names = pool.map(lambda _: client.ask("model", recipe)["name"], range(16))
        assert set(names) == {"Tiny"}


@pytest.mark.chaos
def test_after_it_was_killed_panels_are_told_and_the_next_question_is_answered(client, recipe):
    inbox = queue.Queue()
    client.listen("panel", inbox.put)
    client.move("panel", position(recipe, 1))
    until(inbox, lambda m: m["type"] == "answer")
    old = client._process
    os.kill(old.pid, signal.SIGKILL)
    until(inbox, lambda m: m["type"] == "restarted")
    client.move("panel", position(recipe, 2))
    assert until(inbox, lambda m: m["type"] == "answer")["request_id"] == 2
    assert client._process.pid != old.pid
    client.close("panel")


@pytest.mark.chaos
def test_a_question_that_was_open_when_it_died_is_asked_once_more(client, recipe):
    client.ask("model", recipe)
    process = client._process
    os.kill(process.pid, signal.SIGSTOP)  # so that it cannot answer first
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.ask, "model", recipe)
        while not client._questions:
            threading.Event().wait(0.01)
        os.kill(process.pid, signal.SIGKILL)
        assert asked.result(timeout=WAIT_S)["name"] == "Tiny"
    assert client._process.pid != process.pid


def test_a_reply_that_does_not_come_is_an_error(recipe):
    silent = EvaluatorClient([sys.executable, "-c", "import sys; sys.stdin.read()"])
    with pytest.raises(RunError, match=r"did not answer within 0\.2 s"):
        silent.ask("model", recipe, timeout_s=0.2)
    silent.stop()
    assert not silent.is_running


CHILD = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if asked["type"] == "move":
        print(json.dumps({"type": "answer", "session": "bad"}))
        print(json.dumps({"type": "answer", "session": "good"}), flush=True)
    else:
        print('{"type": "reply", "id": ', end="", flush=True)
        sys.exit()
"""


def test_a_listener_that_fails_and_a_line_cut_short_harm_nobody_else(recipe, caplog):
    client = EvaluatorClient([sys.executable, "-c", CHILD])
    inbox = queue.Queue()

    def fail(message):
        raise RuntimeError("the tab is gone")

    client.listen("bad", fail)
    client.listen("good", inbox.put)
    client.move("good", position(recipe))
    assert inbox.get(timeout=WAIT_S)["session"] == "good"
    client.close("bad")
    with pytest.raises(RunError, match="The evaluator stopped"):
        client.ask("model", recipe, timeout_s=WAIT_S)
    assert until(inbox, lambda m: m["type"] == "restarted")
    assert "the tab is gone" in caplog.text
    client.stop()


STUCK = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    recipe = asked.get("recipe", {})
    if recipe.get("model") == "endless":
        print(json.dumps({"type": "stuck", "model": "endless", "data": recipe["data"]}))
        sys.exit(1)
    if asked["type"] == "ask":
        print(json.dumps({"type": "reply", "id": asked["id"], "result": {"n": 1}}), flush=True)
"""


def test_a_model_without_an_end_is_not_given_to_the_next_process(recipe):
    client = EvaluatorClient([sys.executable, "-c", STUCK])
    endless = Recipe("endless", "digits")
    for _ in range(2):
        with pytest.raises(RunError, match="Nothing more is computed with endless on digits"):
            client.ask("model", endless, timeout_s=WAIT_S)
    with pytest.raises(RunError, match="Nothing more is computed"):
        client.move("panel", position(endless))
    assert client.ask("model", recipe, timeout_s=WAIT_S) == {"n": 1}
    client.stop()


def test_a_question_nobody_waits_for_any_more_is_taken_back(recipe):
    echo = "import sys\nfor line in sys.stdin: print(line, file=sys.stderr, flush=True)"
    silent = EvaluatorClient([sys.executable, "-c", echo])
    sent = []
    send = silent._send
    silent._send = lambda message: (sent.append(message), send(message))
    with pytest.raises(RunError, match="did not answer"):
        silent.ask("model", recipe, timeout_s=0.2)
    silent.stop()
    assert [message["type"] for message in sent] == ["ask", "cancel"]
    assert sent[0]["id"] == sent[1]["id"]


def test_a_program_that_ends_at_once_is_given_up_with_a_sentence(recipe):
    broken = EvaluatorClient([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(OptimError):
        broken.ask("model", recipe, timeout_s=5)
    broken.stop()


@pytest.mark.chaos
def test_every_open_question_is_asked_again_even_if_somebody_else_restarted_it(client, recipe):
    """Whoever writes next starts it again, perhaps before its end was noticed."""
    client.ask("model", recipe)
    process = client._process
    inbox = queue.Queue()
    client.listen("panel", inbox.put)
    os.kill(process.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.ask, "model", recipe)
        while not client._asked:
            threading.Event().wait(0.01)
        with client._lock:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            client.start()
        assert asked.result(timeout=WAIT_S)["name"] == "Tiny"
    until(inbox, lambda m: m["type"] == "restarted")
    assert client.ask("model", recipe)["name"] == "Tiny"
    client.close("panel")


def test_it_ends_when_it_is_stopped_and_tells_nobody(recipe, monkeypatch):
    monkeypatch.setattr(client_module, "_GRACE_S", WAIT_S)  # a busy machine takes its time
    client = EvaluatorClient()
    inbox = queue.Queue()
    client.listen("panel", inbox.put)
    client.ask("model", recipe)  # so that it does not stand in the middle of its start
    process = client._process
    client.stop()
    assert process.wait(timeout=WAIT_S) == 0
    assert not client.is_running
    assert inbox.empty()


def test_unknown_kinds_of_error_become_run_errors():
    data = {"message": "m", "hint": "h", "field": "f"}
    for kind in ("Nonsense", "__all__", "annotations", "Cancelled", "OptimWarning"):
        assert type(_as_error({**data, "kind": kind})) is RunError
    assert type(_as_error({**data, "kind": "DataError"})).__name__ == "DataError"
