"""Runs in other trackers: what stands there is what the run stored."""

import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest

from optim.errors import MissingDependencyError, RunError
from optim.report.trackers import curves_of, to_mlflow, to_tensorboard
from optim.runs.run import EpochRow
from tests.pages.worked import trainable

EPOCHS = [
    EpochRow("distill", 1, {"loss": 0.9, "accuracy": 0.5}, at=1_700_000_000.0),
    EpochRow("distill", 2, {"loss": 0.4}, at=1_700_000_060.0),
]


def events_of(folder):
    """Return ``[(tag, step, value, time)]`` of the scalars in a folder of TensorBoard."""
    from tensorboardX.event_file_writer import EventFileWriter  # noqa: F401  (it has the protocol)
    from tensorboardX.proto.event_pb2 import Event

    (path,) = folder.glob("events.out.tfevents.*")
    content, at, found = path.read_bytes(), 0, []
    while at < len(content):
        size = int.from_bytes(content[at : at + 8], "little")
        event = Event.FromString(content[at + 12 : at + 12 + size])
        at += 12 + size + 4
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found.append((value.tag, event.step, value.simple_value, event.wall_time))
    return found


def test_curves_keep_their_order_and_gaps():
    assert [(c.name, len(c.points)) for c in curves_of(EPOCHS)] == [
        ("distill/loss", 2),
        ("distill/accuracy", 1),
    ]


def test_tensorboard_reads_every_epoch_at_its_time_and_the_result(worked, tmp_path):
    run = worked.finished()
    folder = to_tensorboard(run, EPOCHS, tmp_path)
    assert folder == tmp_path / run.id
    found = events_of(folder)
    assert ("distill/accuracy", 1, 0.5, 1_700_000_000.0) in found
    assert [step for tag, step, *_ in found if tag == "distill/loss"] == [1, 2]
    final = {tag: value for tag, _, value, _ in found if tag.startswith("result/")}
    assert final["result/size_bytes"] == 80_500
    assert final["result/original_macs"] == 1_250_000


def test_tensorboard_is_not_given_the_same_run_twice(worked, tmp_path):
    run = worked.finished()
    to_tensorboard(run, EPOCHS, tmp_path)
    with pytest.raises(RunError, match="would show its curves twice"):
        to_tensorboard(run, EPOCHS, tmp_path)


def test_a_run_without_anything_to_show_is_refused(worked, tmp_path):
    waiting = worked.store.submit("recipe", {"recipe": trainable().to_json()}, title="Waits")
    with pytest.raises(RunError, match="no curves and no result"):
        to_tensorboard(waiting, [], tmp_path)
    with pytest.raises(RunError, match="no result to hand on"):
        to_mlflow(waiting, [], {})


@pytest.mark.parametrize(
    ("package", "hand_over", "more"),
    [("tensorboardX", to_tensorboard, "out"), ("mlflow", to_mlflow, {})],
)
def test_a_missing_package_is_named(worked, tmp_path, monkeypatch, package, hand_over, more):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.chdir(tmp_path)
    run = worked.finished()
    with pytest.raises(MissingDependencyError, match="not installed") as caught:
        hand_over(run, EPOCHS, Path(more) if more else more)
    assert "pip install" in caught.value.hint


class Told:
    """Stands for MLflow and notes what it was told: the real one is too large for every test."""

    def __init__(self):
        self.uri = self.experiment = self.model = None
        self.params, self.metrics, self.texts, self.files = {}, [], {}, {}
        self.onnx = SimpleNamespace(log_model=self._log_model)
        self.set_tracking_uri = lambda uri: setattr(self, "uri", uri)
        self.set_experiment = lambda name: setattr(self, "experiment", name)
        self.log_params = self.params.update
        self.log_text = lambda text, name: self.texts.update({name: text})

    @contextmanager
    def start_run(self, run_name, tags):
        self.name, self.tags = run_name, tags
        yield SimpleNamespace(info=SimpleNamespace(run_id="there"))

    def log_metric(self, name, value, step=None):
        self.metrics.append((name, value, step))

    def log_metrics(self, found):
        self.metrics += [(name, value, None) for name, value in found.items()]

    def log_artifact(self, path, artifact_path):
        self.files[Path(path).name] = Path(path).read_bytes()

    def _log_model(self, model, name):
        self.model = (name, model)


def test_mlflow_gets_settings_curves_figures_files_and_the_model(worked, monkeypatch):
    told = Told()
    monkeypatch.setitem(sys.modules, "mlflow", told)
    nodes = [onnx.helper.make_node("Identity", ["x"], ["y"])]
    values = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1]) for n in "xy"]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", values[:1], values[1:]))
    files = {"model.onnx": model.SerializeToString(), "report.txt": b"fine"}
    run = worked.finished()
    assert to_mlflow(run, EPOCHS, files, "Mine", "file:///somewhere") == "there"
    assert (told.uri, told.experiment, told.name) == ("file:///somewhere", "Mine", run.title)
    assert told.tags["mlflow.note.content"].startswith("This network is 4.1x smaller")
    assert told.params["model"] == run.recipe.model
    assert any(name.startswith("1 ") for name in told.params)
    assert ("distill/loss", 0.4, 2) in told.metrics
    assert ("size_bytes", 80_500, None) in told.metrics
    low, high = (
        dict((n, v) for n, v, _ in told.metrics)[f"accuracy_{end}"] for end in ("low", "high")
    )
    assert low < 0.92 < high
    assert told.texts["recipe.yaml"] == run.recipe.to_yaml()
    assert told.files == files
    assert told.model == ("model", model)
