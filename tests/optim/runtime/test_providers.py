"""What is said of GPUs: what ONNX Runtime offers, and whether this project was tested on one."""

import json

import pytest

from optim.runtime import providers
from optim.runtime.providers import PROVIDERS, gpu_words, gpus_here


@pytest.fixture
def offered(monkeypatch, tmp_path):
    """Let ONNX Runtime offer what a provider needs; no GPU was measured yet."""
    monkeypatch.setattr(providers, "_BENCH", tmp_path / "gpu.json")
    return lambda name: monkeypatch.setattr(
        providers, "_offered", lambda: list(PROVIDERS[name].order)
    )


def test_providers_are_named_where_there_are_any(offered):
    offered("tensorrt")
    assert gpus_here() == ("cuda", "tensorrt")
    assert gpu_words() == (
        "Not tested on GPU. ONNX Runtime has CUDA and TensorRT here, which can be measured."
    )
    offered("cuda")
    assert gpus_here() == ("cuda",)
    offered("cpu")
    assert gpus_here() == ()
    assert "neither CUDA nor TensorRT" in gpu_words()


def test_once_a_gpu_was_measured_its_name_is_said(offered):
    offered("cpu")
    known = {"date": "2026-11-27", "results": {"gpu": "A GPU"}}
    providers._BENCH.write_text(json.dumps(known))
    assert gpu_words().startswith("Tested on A GPU on 2026-11-27 (bench/gpu.json). ONNX Runtime")
