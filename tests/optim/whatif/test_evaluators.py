"""Two processes: what takes long is asked of one, and the other goes on answering sliders."""

import threading

import pytest

from optim.whatif import evaluators as evaluators_module
from optim.whatif.evaluators import LONG, Evaluators
from optim.whatif.questions import QUESTIONS


class Client:
    """An evaluator that notes what it is told, and answers when it is let."""

    def __init__(self):
        self.told = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.stopped = threading.Event()
        self.is_running = True

    def ask(self, question, recipe, timeout_s, **arguments):
        self.told.append(question)
        assert self.may_answer.wait(30)
        return {"question": question}

    def move(self, session, message):
        self.told.append("move")

    def forget(self):
        self.told.append("forget")

    def stop(self):
        self.stopped.set()


@pytest.fixture
def pair(monkeypatch):
    made = []

    def client():
        made.append(Client())
        return made[-1]

    monkeypatch.setattr(evaluators_module, "EvaluatorClient", client)
    both = Evaluators()
    yield both, *made
    both.stop()


def test_long_questions_are_questions():
    assert set(QUESTIONS) >= LONG


def test_sliders_and_short_questions_do_not_wait_for_a_long_one(pair, recipe):
    both, prompt, patient = pair
    patient.may_answer.clear()
    asking = threading.Thread(target=both.ask, args=("ladder", recipe))
    asking.start()
    assert both.ask("model", recipe) == {"question": "model"}
    both.move("panel", {})
    assert prompt.told == ["model", "move"]
    patient.may_answer.set()
    asking.join()
    assert patient.told == ["ladder"]
    both.forget()
    assert (prompt.told[-1], patient.told[-1]) == ("forget", "forget")


def test_the_second_process_ends_when_nobody_asks_for_a_while(pair, recipe, monkeypatch):
    both, prompt, patient = pair
    monkeypatch.setattr(evaluators_module, "_IDLE_S", 0.05)
    both.ask("ladder", recipe)
    assert patient.stopped.wait(30)
    assert not prompt.stopped.is_set()


def test_it_does_not_end_while_somebody_asks(pair, recipe, monkeypatch):
    both, _, patient = pair
    monkeypatch.setattr(evaluators_module, "_IDLE_S", 0.05)
    patient.may_answer.clear()
    asking = threading.Thread(target=both.ask, args=("speed", recipe))
    asking.start()
    patient_may_go_on = threading.Event()
    assert not patient_may_go_on.wait(0.2)
    assert not patient.stopped.is_set()
    patient.may_answer.set()
    asking.join()
    assert patient.stopped.wait(30)
