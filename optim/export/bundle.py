"""A zip to deploy: the verified ONNX file, a script that runs it, samples, figures and a test."""

from __future__ import annotations

import io
import json
from importlib import metadata, resources

import numpy as np

from optim.data.task import Classification
from optim.errors import ExportError
from optim.export.archive import zip_of
from optim.export.card import model_card
from optim.export.verify import Verification
from optim.models.bundle import ModelBundle
from optim.models.interface import Interface
from optim.recipe import Recipe
from optim.runtime.session import InferenceSession

__all__ = ["check_interface", "deployment_bundle"]

_NEEDS = ("numpy", "onnxruntime")


def check_interface(bundle: ModelBundle) -> None:
    """Refuse a model that ``predict.py`` cannot feed.

    Raises:
        ExportError: If it takes or gives more than one array of float32, a row for each sample.
    """
    interface = bundle.interface
    if interface is None:
        return
    plain = Interface(interface.name, reads=interface.reads)
    if interface != plain or len(interface.reads) > 1 or interface.inside:
        raise ExportError(
            "The bundle's script feeds one array of samples, as many as there are, and reads one; "
            f"{bundle.name} takes or gives more.",
            hint="Choose ONNX, as set.",
        )


def deployment_bundle(
    bundle: ModelBundle,
    recipe: Recipe,
    inputs: np.ndarray,
    file: bytes,
    verification: Verification,
) -> bytes:
    """Return the zip that a model is deployed with.

    Args:
        bundle: The model.
        recipe: How it was made.
        inputs: ``(n, ...)`` normalised samples that go with it.
        file: The ONNX file that was verified.
        verification: What it does in its runtime.
    """
    outputs = InferenceSession.open(file, 1, bundle.interface).whole(inputs)
    names = bundle.task.class_names if isinstance(bundle.task, Classification) else ()
    content: dict[str, bytes | str] = {
        "README.md": _README,
        "MODEL_CARD.md": model_card(bundle, recipe, verification),
        "model.onnx": file,
        "predict.py": _text("predict.py"),
        "test_bundle.py": _text("test_bundle.py"),
        "requirements.txt": "".join(f"{name}=={metadata.version(name)}\n" for name in _NEEDS),
        "sample_inputs.npy": _npy(inputs),
        "expected_outputs.npy": _npy(outputs),
        "recipe.yaml": recipe.to_yaml(),
    }
    about = {
        "name": bundle.name,
        "input": bundle.spec.to_json(),
        "classes": list(names),
        "files": [*content, "model.json"],
    }
    return zip_of({**content, "model.json": json.dumps(about, indent=1) + "\n"})


_README = """# What is here

    python -m venv .venv
    .venv/bin/pip install -r requirements.txt
    .venv/bin/python test_bundle.py         # does it compute here what it computed there?
    .venv/bin/python predict.py --sample    # the samples that came with it
    .venv/bin/python predict.py mine.npy    # raw samples (n, ...), as they were recorded

| file | what it is |
|:--|:--|
| `model.onnx` | the model, verified in the runtime named in `MODEL_CARD.md` |
| `model.json` | shape and normalisation of the input, names of the classes |
| `predict.py` | runs it, with ONNX Runtime and NumPy only |
| `sample_inputs.npy`, `expected_outputs.npy` | normalised samples, and what came out |
| `test_bundle.py` | compares with that; plain Python or pytest |
| `requirements.txt` | the versions it was verified with |
| `MODEL_CARD.md` | what was measured, and how |
| `recipe.yaml` | how it was made |
"""


def _text(name: str) -> str:
    path = resources.files("optim.export") / "bundle_files" / f"{name}.template"
    return path.read_text(encoding="utf-8")


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()
