"""Every family of the zoo, exported by torch's two exporters and by this program."""

import io
import warnings

import onnx
import pytest
import torch

from optim.export.deploy import onnx_bytes
from optim.layers.channels import find_channels
from optim.layers.rewrite import weights_of
from optim.measure.macs import layer_costs
from optim.models.convert.converter import convert
from optim.models.convert.parity import largest_difference, random_inputs, runtime_outputs

FREE = {"input": {0: "N"}}


def by_torchscript(bundle, opset=17):
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter will go
        torch.onnx.export(
            bundle.module,
            (torch.zeros(1, *bundle.spec.shape),),
            file,
            dynamo=False,
            opset_version=opset,
            input_names=["input"],
            dynamic_axes=FREE,
        )
    return onnx.load_from_string(file.getvalue())


def by_dynamo(bundle):
    pytest.importorskip("onnxscript", reason="torch's newer exporter needs onnxscript")
    if bundle.name == "tiny resnet":
        pytest.skip("torch.export cannot follow the index of the parameter-free shortcut")
    program = torch.onnx.export(
        bundle.module,
        (torch.zeros(2, *bundle.spec.shape),),
        dynamo=True,
        verbose=False,
        dynamic_shapes=({0: torch.export.Dim("N")},),
    )
    return program.model_proto


def by_this_program(bundle):
    return onnx.load_from_string(onnx_bytes(bundle))


EXPORTERS = {
    "torchscript": by_torchscript,
    "torchscript, old": lambda bundle: by_torchscript(bundle, 13),
    "dynamo": by_dynamo,
    "own": by_this_program,
}


@pytest.fixture(params=EXPORTERS.values(), ids=EXPORTERS)
def exported(request, bundle):
    return request.param(bundle)


@pytest.mark.filterwarnings("ignore")
def test_an_exported_model_comes_back_with_its_layers(bundle, exported):
    module = convert(exported).module
    inputs = random_inputs(bundle.spec.shape)
    expected = runtime_outputs(exported.SerializeToString(), inputs)
    assert largest_difference(module, inputs, expected) < 1e-5
    shape = bundle.spec.shape
    before = [cost.macs for cost in layer_costs(bundle.module, shape)]
    after = [cost.macs for cost in layer_costs(module, shape)]
    # What this program emits writes the parameter-free shortcut as a convolution.
    assert set(before) <= set(after)
    # A file states how many attention heads there are: none can leave it.
    groups = find_channels(bundle.module, shape).groups
    sizes = sorted(group.size for group in groups if group.together == 1)
    assert sorted(group.size for group in find_channels(module, shape).groups) == sizes


@pytest.mark.filterwarnings("ignore")
def test_layers_keep_their_names(bundle):
    wanted = set(weights_of(bundle.module))
    assert set(weights_of(convert(by_torchscript(bundle)).module)) == wanted
    own = set(weights_of(convert(by_this_program(bundle)).module))
    assert wanted <= own
