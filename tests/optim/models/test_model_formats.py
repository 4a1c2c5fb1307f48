"""What works for each format of models: tried with files made here, held against the docs."""

from pathlib import Path

import pytest
import torch

from optim.errors import UnsupportedModelError
from optim.export.deploy import onnx_bytes
from optim.intake import ENDINGS
from optim.models.bundle import TorchModel
from optim.models.checkpoint import save_checkpoint
from optim.models.open import open_model
from optim.models.zoo import ZOO
from tests.helpers import tiny_bundle
from tests.optim.models.convert.graphs import graph, node, values
from tests.optim.models.test_probing import recurrent

ROOT = Path(__file__).parents[3]


def classifier(path):
    path.write_bytes(onnx_bytes(tiny_bundle("resnet")))


def values_for_every_place(path):
    path.write_bytes(
        graph(node("Conv", "x w"), (3, 6, 5), w=values(2, 3, 1, 1)).SerializeToString()
    )


def with_states(path):
    path.write_bytes(recurrent().SerializeToString())


def checkpoint(path):
    save_checkpoint(tiny_bundle("mlp"), path)


def state_dict(path):
    torch.save(ZOO["lenet-5"].build((1, 28, 28), 10).state_dict(), path)


def torchscript(path):
    torch.jit.script(torch.nn.Linear(3, 2)).save(path)


def exported(path):
    torch.export.save(torch.export.export(torch.nn.Linear(3, 2), (torch.zeros(1, 3),)), path)


FORMATS = {
    "ONNX, a classifier": ("m.onnx", classifier),
    "ONNX, one output of any shape": ("m.onnx", values_for_every_place),
    "ONNX, several inputs or outputs": ("m.onnx", with_states),
    "our checkpoint": ("m.safetensors", checkpoint),
    "weights of an architecture": ("m.pt", state_dict),
    "TorchScript": ("m.torchscript", torchscript),
    "exported program": ("m.pt2", exported),
}


def row(title, file):
    """Return the line of the docs that says what is true of a file."""
    try:
        bundle = open_model(str(file))
        opens = "yes"
        lane = "yes" if isinstance(bundle.content, TorchModel) else "weights only"
    except UnsupportedModelError as error:
        opens = "with `--trust`" if "--trust" in error.hint else "no"
        lane = "yes"  # it becomes an ONNX file: see test_programs.py
    browser = "yes" if file.suffix in ENDINGS["model"] else "if the operator says so"
    return f"| {title} | `{file.suffix}` | {opens} | {browser} | {lane} |"


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(("title", "made"), FORMATS.items(), ids=FORMATS)
def test_the_matrix_in_the_docs_is_true(title, made, tmp_path):
    name, write = made
    write(tmp_path / name)
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    assert row(title, tmp_path / name) in text
