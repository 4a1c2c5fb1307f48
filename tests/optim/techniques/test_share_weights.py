"""Weights that share values: what k-means gives by hand, what is kept, and what it beats."""

import numpy as np
import onnx
import pytest
import torch

from optim.codecs.opack import sizes_of, unpack
from optim.errors import ConfigError, UnsupportedModelError
from optim.export.deploy import onnx_bytes
from optim.graph.packed import pack_onnx
from optim.layers.sharing import clustered, shared
from optim.layers.training_graph import LearnedBook
from optim.measure.evaluate import predict
from optim.measure.size import encoded_sizes
from optim.models.checkpoint import load_checkpoint, save_checkpoint
from optim.models.weighted import deployed_weight, model_weights, with_weights
from optim.runtime.session import InferenceSession
from optim.techniques.finetune_quantized import FineTuneQuantized
from optim.techniques.prune_weights import PruneWeights
from optim.techniques.quantize import Quantize
from optim.techniques.share_weights import ShareWeights
from tests.helpers import context_for, data_for, inputs_for, outputs_of, tiny_bundle
from tests.optim.graph.graphs import kept


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("start", ["linear", "density", "random"])
def test_clusters_that_lie_apart_are_found(start, generator):
    values = torch.tensor([-3.1, -3.0, -2.9, 1.0, 1.2, 8.0], dtype=torch.float64)
    found = clustered(values.repeat(20), 3, start, generator)
    if start == "linear":
        torch.testing.assert_close(found, torch.tensor([-3.0, 1.1, 8.0], dtype=torch.float64))
    assert len(found) <= 3
    assert torch.equal(found, found.sort().values)


def test_few_different_values_are_kept(generator):
    values = torch.tensor([2.0, -1.0, 2.0], dtype=torch.float64)
    assert clustered(values, 7, "linear", generator).tolist() == [-1.0, 2.0]


def test_every_weight_takes_the_nearest_value_and_zeros_none(generator):
    weight = torch.randn(20, 30, generator=generator)
    weight[weight.abs() < 0.7] = 0
    book = shared(weight, 3, "linear", generator)
    assert len(book.book) == 2**3
    values = book.values()
    assert torch.equal(values == 0, weight == 0)
    others = book.book[1:]
    nearest = others[(weight[..., None] - others).abs().argmin(dim=-1)]
    assert torch.equal(values[weight != 0], nearest[weight != 0])
    assert torch.equal(torch.sign(book.ranks), torch.sign(values).to(book.ranks.dtype))


def test_the_gradient_of_a_value_is_the_sum_over_its_weights(generator):
    weight = torch.tensor([[1.0, 1.1, -2.0], [0.0, 0.9, -2.0]])
    book = LearnedBook(shared(weight, 2, "linear", generator))
    pull = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    (book() * pull).sum().backward()
    scale = book.book.grad.new_tensor([0, 3**-0.5, 2**-0.5])
    torch.testing.assert_close(book.book.grad, torch.tensor([0.0, 8.0, 9.0]) * scale)


def test_it_beats_a_grid_of_as_many_values(several_trained):
    grid = Quantize(weight_bits=3, activation_bits="float", granularity="per_tensor")
    correct = {"grid": 0.0, "shared": 0.0}
    for bundle, data in several_trained:
        context, samples = context_for(bundle, data=data), data.part("validation")
        for name, step in (("grid", grid), ("shared", ShareWeights(bits=3))):
            made = step.apply(bundle, context).bundle
            correct[name] += predict(made, samples).accuracy().value / len(several_trained)
    assert correct["shared"] > correct["grid"] + 0.01


def test_training_the_values_wins_back_what_sharing_cost(trained):
    bundle, data = trained
    context = context_for(bundle, data=data)
    samples = data.part("validation")
    coarse = ShareWeights(bits=2, bias_bits=4).apply(bundle, context).bundle
    learned = FineTuneQuantized(epochs=2).apply(coarse, context).bundle
    assert predict(learned, samples).against(predict(coarse, samples)).direction == "better"
    for name, book in learned.table.codebooks.items():
        assert torch.equal(book.ranks, coarse.table.codebooks[name].ranks)
        assert book.book[0] == 0


def test_masks_survive_and_the_file_is_smaller_than_on_a_grid(trained):
    bundle, data = trained
    context = context_for(bundle, data=data)
    pruned = PruneWeights(sparsity=0.8).apply(bundle, context).bundle
    ours = ShareWeights(bits=4).apply(pruned, context).bundle
    for name, mask in pruned.table.masks.items():
        assert not deployed_weight(ours, name)[~mask].any()
    eight = Quantize(activation_bits="float").apply(pruned, context).bundle
    sizes = [len(pack_onnx(onnx_bytes(model))) for model in (ours, eight)]
    assert sizes[0] < 0.8 * sizes[1]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_file_computes_what_is_simulated_and_packs_as_small_as_it_says(tiny_cnn, bits):
    model = ShareWeights(bits=bits).apply(tiny_cnn, context_for(tiny_cnn)).bundle
    file = onnx_bytes(model)
    x = inputs_for(model)
    found = InferenceSession.open(file, 1).run(x.numpy())
    np.testing.assert_allclose(found, outputs_of(model, x).numpy(), atol=1e-5)
    data = pack_onnx(file)
    assert unpack(data) == file
    said = encoded_sizes(model)["entropy"].value
    held = sizes_of(data)
    assert held.weights < said < held.weights + 2 * held.constants + 200


def test_ranks_take_few_bits_and_values_are_looked_up_once(tiny_cnn):
    model = ShareWeights(bits=4).apply(tiny_cnn, context_for(tiny_cnn)).bundle
    graph = onnx.load_from_string(onnx_bytes(model)).graph
    kinds = {t.data_type for t in graph.initializer if t.name.endswith("_ranks")}
    assert onnx.TensorProto.INT4 in kinds
    constants = {t.name for t in graph.initializer}
    made = {node.output[0]: node for node in graph.node}
    for node in graph.node:
        if node.op_type == "Gather":
            assert node.input[0] in constants
            assert made[node.input[1]].input[0] in constants


def test_single_layers_have_bits_of_their_own_or_are_left(tiny_cnn):
    context = context_for(tiny_cnn)
    step = ShareWeights(layers={"conv1": "float", "linear": 2})
    applied = step.apply(tiny_cnn, context)
    books = applied.bundle.table.codebooks
    assert "conv1" not in books
    assert len(books["linear"].book) <= 4
    assert not applied.report.layers[0].touched
    with pytest.raises(ConfigError, match="no layer 'conv9'"):
        ShareWeights(layers={"conv9": 2}).apply(tiny_cnn, context)


def test_a_graph_takes_the_values(tiny_mlp):
    graph = kept(tiny_mlp)
    context = context_for(graph, data=data_for(tiny_mlp))
    model = ShareWeights(bits=3).apply(graph, context).bundle
    assert model.table.codebooks
    for name, book in model.table.codebooks.items():
        assert torch.equal(deployed_weight(model, name), book.values())


def test_biases_of_layers_that_keep_their_weights_stay_and_are_told(tiny_cnn):
    step = ShareWeights(bits="float", bias_bits=2, layers={"linear": 4})
    applied = step.apply(tiny_cnn, context_for(tiny_cnn))
    assert set(applied.bundle.table.codebooks) == {"linear"}
    told = {entry.layer: entry.detail for entry in applied.report.layers}
    assert "3 in its biases" in told.pop("linear")
    assert all("and its biases with its weights" in detail for detail in told.values())


@pytest.mark.parametrize("lane", ["torch", "graph"])
def test_biases_alone_share_no_values(lane, tiny_mlp):
    step = ShareWeights(bits="float", bias_bits=2)
    bundle = tiny_mlp if lane == "torch" else kept(tiny_mlp)
    assert not step.is_neutral  # a recipe would leave it out and say nothing
    with pytest.raises(ConfigError, match=r"bias_bits=2 with bits=float .* Choose bits"):
        step.apply(bundle, context_for(bundle, data=data_for(tiny_mlp)))
    assert ShareWeights(bits="float").is_neutral


def test_a_graph_says_that_its_biases_stay(tiny_mlp):
    graph = kept(tiny_mlp)
    plain, asked = (
        step.apply(graph, context_for(graph)).report.notes
        for step in (ShareWeights(), ShareWeights(bias_bits=4))
    )
    assert not plain
    assert "bias_bits=4 is unused" in asked[0]


def test_the_file_of_a_graph_is_as_small_as_that_of_its_module(tiny_cnn):
    sizes = []
    for each in (tiny_cnn, kept(tiny_cnn)):
        shared = ShareWeights(bits=2).apply(each, context_for(each)).bundle
        sizes.append(len(onnx_bytes(shared)) / len(onnx_bytes(each)))
    assert sizes[1] == pytest.approx(sizes[0], abs=0.1)


def test_weights_that_were_changed_since_are_written_as_they_are(tiny_mlp):
    graph = kept(tiny_mlp)
    shared = ShareWeights(bits=2).apply(graph, context_for(graph)).bundle
    name, *others = shared.table.codebooks
    changed = with_weights(shared, {name: 2 * model_weights(shared)[name]})
    nodes = onnx.load_from_string(onnx_bytes(changed)).graph.node
    assert sum(node.op_type == "Gather" for node in nodes) == len(others)


def test_a_graph_that_cannot_be_rewritten_has_ranks_of_bytes(tiny_mlp, monkeypatch):
    graph = kept(tiny_mlp)
    shared = ShareWeights(bits=2).apply(graph, context_for(graph)).bundle
    with monkeypatch.context() as patched:
        patched.setattr("optim.runtime.emit_graph.raise_opset", lambda model, version: False)
        file = onnx_bytes(shared)
    model = onnx.load_from_string(file)
    onnx.checker.check_model(model)
    kinds = {t.data_type for t in model.graph.initializer if t.name.endswith("_ranks")}
    assert kinds == {onnx.TensorProto.INT8}
    x = inputs_for(shared).numpy()
    found, wanted = (InferenceSession.open(f).run(x) for f in (file, onnx_bytes(shared)))
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_checkpoint_with_ranks_of_no_value_is_refused(tmp_path, tiny_mlp):
    model = ShareWeights(bits=2).apply(tiny_mlp, context_for(tiny_mlp)).bundle
    path = save_checkpoint(model, tmp_path / "model.safetensors")
    assert load_checkpoint(path).hash == model.hash
    name, book = next(iter(model.table.codebooks.items()))
    book.ranks[0, 0] = 99
    path = save_checkpoint(model, tmp_path / "model.safetensors")
    with pytest.raises(UnsupportedModelError, match=f"a weight of '{name}' is none of its"):
        load_checkpoint(path)


def test_a_layer_of_zeros_needs_no_value(tiny_mlp):
    zero = PruneWeights(sparsity=0.99, scope="local").apply(tiny_mlp, context_for(tiny_mlp)).bundle
    with torch.no_grad():
        zero.module.get_parameter("head.weight").zero_()
    book = ShareWeights().apply(zero, context_for(tiny_mlp)).bundle.table.codebooks["head"]
    assert book.book.tolist() == [0.0]
    assert tiny_bundle("mlp").hash == tiny_mlp.hash
