"""One's own device: upload what the probe wrote, see it, remove it; hostile files do no harm."""

import json

import pytest

from optim.devices import own
from pages.components.devices import probing
from tests.optim.devices.test_calibration import made
from tests.pages.helpers import texts


@pytest.fixture
def page(lab):
    return lab.switch_page("pages/devices/own_device.py").run()


def upload(at, data: bytes):
    at.file_uploader[0].set_value(("device.json", data, "application/json"))
    return at.run()


def test_an_uploaded_probe_is_listed_and_can_be_removed(page):
    at = upload(page, json.dumps(made()).encode())
    assert not at.exception
    assert not at.error
    assert "Made up" in texts(at)
    assert "are predicted to within" in texts(at)
    (button,) = [b for b in at.button if b.label == "Remove"]
    at = button.click().run()
    assert "None yet" in texts(at)


def test_a_file_that_is_no_probe_is_said_to_be_none(page):
    at = upload(page, b'{"schema": "optim.probe/1", "threads": -1}')
    assert not at.exception
    assert at.error[0].value.startswith("device: Field required")
    at = upload(page, b"not json")
    assert "no JSON" in at.error[0].value


def test_a_name_with_markup_is_shown_as_text(page):
    strange = made()
    strange["device"]["name"] = "[x](http://evil) *board*"
    at = upload(page, json.dumps(strange).encode())
    assert "(x)(http://evil) board" in texts(at)


def test_this_machine_is_probed_in_a_process_of_its_own(page, popen_of):
    started = []

    class Job:
        returncode = None

        def __init__(self, command, **more):
            started.append(command)

        def poll(self):
            return self.returncode

    popen_of(probing, Job)
    (button,) = [b for b in page.button if b.label == "Probe this machine"]
    at = button.click().run()
    assert started[0][1:] == ["-m", "optim", "devices", "probe", "--here"]
    assert "Probing" in texts(at)
    Job.returncode = 0
    own.keep_here(json.dumps(made()).encode())
    try:
        at.run()
        assert "Made up, ONNX Runtime 1.32.0" in texts(at)
    finally:
        own._here().unlink()
        probing._jobs().clear()


def test_a_probe_that_failed_is_said_to_every_session_until_there_is_another(page, monkeypatch):
    class Job:
        returncode = 1

        def poll(self):
            return self.returncode

    monkeypatch.setitem(probing._jobs(), "here", Job())
    for _ in range(2):
        at = page.run()
        assert "This machine could not be probed" in at.error[0].value
    probing._jobs()["here"].returncode = 0
    assert not page.run().error
