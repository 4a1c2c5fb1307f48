"""A converted model as plain data: rebuilt exactly, and nothing else can be built from it."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import fx, nn

from optim.errors import UnsupportedModelError
from optim.models.bundle import TorchModel
from optim.models.checkpoint import load_checkpoint, save_checkpoint
from optim.models.convert.converter import convert
from optim.models.convert.program import build, describe
from tests.helpers import inputs_for, outputs_of, tiny_bundle
from tests.optim.models.convert.test_exporters import by_this_program

LIMIT = 10**6


@pytest.fixture(scope="module")
def program():
    return json.dumps(describe(convert(by_this_program(tiny_bundle("mobilenet"))).module))


def converted(family):
    bundle = tiny_bundle(family)
    return replace(bundle, content=TorchModel(convert(by_this_program(bundle)).module))


def test_a_checkpoint_holds_a_converted_model(family, tmp_path):
    bundle = converted(family)
    loaded = load_checkpoint(save_checkpoint(bundle, tmp_path / "m.safetensors"))
    assert loaded.hash == bundle.hash
    assert loaded.content.architecture is None
    x = inputs_for(bundle)
    assert torch.equal(outputs_of(loaded, x), outputs_of(bundle, x))


def test_other_wiring_of_the_same_weights_is_another_model():
    class Block(nn.Module):
        def __init__(self, first):
            super().__init__()
            self.a, self.b, self.first = nn.Linear(4, 4), nn.Linear(4, 4), first

        def forward(self, x):
            return self.b(self.a(x)) if self.first else self.a(self.b(x))

    torch.manual_seed(0)
    first = Block(True)
    second = Block(False)
    second.load_state_dict(first.state_dict())
    bundle = tiny_bundle("mlp")
    hashes = {
        replace(bundle, content=TorchModel(fx.symbolic_trace(m))).hash for m in (first, second)
    }
    assert len(hashes) == 2


def test_numbers_that_are_not_finite_survive():
    graph = fx.Graph()
    x = graph.placeholder("x")
    graph.output(
        graph.call_function(torch.where, (graph.call_function(torch.gt, (x, 0)), x, -1e999))
    )
    module = fx.GraphModule(nn.Module(), graph)
    described = json.loads(json.dumps(describe(module), allow_nan=False))
    assert build(described, max_parameters=LIMIT)(torch.tensor([-1.0, 2.0])).tolist() == [
        float("-inf"),
        2.0,
    ]


def with_node(*node):
    def change(data):
        data["nodes"].insert(1, list(node))

    return change


def with_layer(name, config):
    def change(data):
        data["layers"][next(iter(data["layers"]))] = [name, config]

    return change


HOSTILE = {
    "a function of Python": with_node("call_function", "f", "eval", ["1"], {"names": {}}),
    "a method": with_node("call_method", "f", "__reduce__", [], {"names": {}}),
    "an attribute": with_node("get_attr", "f", "__class__.__init__", [], {"names": {}}),
    "another operation": with_node("call_anything", "f", "add", [], {"names": {}}),
    "a name that is code": with_node("placeholder", "x, y=print(1)", "x", [], {"names": {}}),
    "a target that is code": with_node("placeholder", "z", "x=print(1)", [], {"names": {}}),
    "a node that is not there": with_node(
        "call_function", "f", "relu", [{"node": "no"}], {"names": {}}
    ),
    "an unknown argument": with_node("call_function", "f", "relu", [{"code": "1"}], {"names": {}}),
    "deep nesting": with_node("call_function", "f", "relu", [[[[[[[[[[[1]]]]]]]]]]], {"names": {}}),
    "an unknown layer": with_layer("Lazy", {}),
    "a layer of other arguments": with_layer("Linear", {"in_features": 3, "device": "cuda"}),
    "a huge layer": with_layer(
        "Linear", {"in_features": 2**23, "out_features": 2**23, "bias": True}
    ),
    "a layer larger than any": with_layer(
        "Linear", {"in_features": 2**60, "out_features": 1, "bias": True}
    ),
    "text as a size": with_layer("Linear", {"in_features": "3", "out_features": 1, "bias": True}),
    "a shortcut of channels it lacks": lambda data: data["layers"].update(
        a=["ChannelPadShortcut", 2, [0, 5], 1]
    ),
    "too many nodes": lambda data: data.update(nodes=data["nodes"] * 2000),
    "no nodes": lambda data: data.pop("nodes"),
    "two of a name": lambda data: data["nodes"].insert(1, data["nodes"][0]),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_program_that_says_something_else_is_refused(program, change):
    data = json.loads(program)
    change(data)
    with pytest.raises((ValueError, TypeError, LookupError, RuntimeError, AttributeError)):
        build(data, max_parameters=LIMIT)


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_checkpoint_with_such_a_program_is_refused_in_one_sentence(tmp_path, change):
    path = save_checkpoint(converted("mobilenet"), tmp_path / "m.safetensors")
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["optim"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(header["program"])
    save_file(tensors, path, {"optim": json.dumps(header)})
    with pytest.raises(UnsupportedModelError, match="damaged checkpoint"):
        load_checkpoint(path)


def test_a_layer_no_converter_makes_cannot_be_described():
    with pytest.raises(UnsupportedModelError, match=r"'0' \(Softshrink\) cannot be stored"):
        describe(fx.symbolic_trace(nn.Sequential(nn.Softshrink())))
    with pytest.raises(UnsupportedModelError, match="cannot be stored"):
        describe(fx.symbolic_trace(lambda x: torch.fft.fft(x)))
