"""What the process that opens files answers, for tests of what pages make of it."""

MODEL = {
    "card": {
        "task": "classification",
        "outputs": {"kind": "classification", "class_names": ["0", "1"]},
        "n_classes": 2,
        "input_shape": [3, 8, 8],
        "params": {"text": "1.2 k"},
        "macs": {"text": "3.4 k MACs"},
        "lane": "trainable",
        "note": "Converted from ONNX.",
        "file": {
            "opset": 17,
            "producer": "pytorch 2.13",
            "nodes": {"Conv": 1},
            "inputs": [
                {
                    "name": "x",
                    "dtype": "float32",
                    "declared": ["N", "3", "8", "8"],
                    "used": [1, 3, 8, 8],
                    "role": "samples",
                }
            ],
            "outputs": [],
            "task": "One number a class.",
            "unusual": ["it stores 16-bit floats"],
        },
    },
    "expected": {
        "shape": [3, 8, 8],
        "scale": 255.0,
        "mean": [],
        "std": [],
        "class_names": ["0", "1"],
        "size": [8, 8],
    },
    "architectures": [],
}
DATA = {
    "title": "file",
    "parts": {"all": 12},
    "input_shape": [3, 8, 8],
    "classes": [{"name": "cat", "counts": {"all": 6}}, {"name": "dog", "counts": {"all": 6}}],
    "columns": [],
    "seen": {"low": 0.0, "high": 1.0, "mean": 0.5, "std": 0.3, "window": [0.0, 1.0]},
    "samples": [{"id": 0, "label": "cat", "values": [[1.0]]}],
    "notes": ["Made by a test."],
    "options": {"resize": [8, 8]},
    "reasons": {"resize": "the model takes 8x8"},
    "input": MODEL["expected"],
    "fits": True,
    "has_axes": False,
    "can_be_varied": True,
}


def _accuracy(value, n=12):
    return {"value": value, "n": n, "text": f"{100 * value:.0f} %"}


GOOD = {
    "part": "all",
    "accuracy": _accuracy(0.9),
    "is_near_chance": False,
    "suggestions": [],
    "remarks": [],
}
BAD = {
    "part": "validation",
    "accuracy": _accuracy(0.5),
    "is_near_chance": True,
    "suggestions": [
        {
            "name": "values",
            "sentence": "With mean and deviation those of ImageNet: 81 %.",
            "accuracy": _accuracy(0.81),
            "options": {"scale": 255.0, "mean": [0.485, 0.456, 0.406], "std": [0.2, 0.2, 0.2]},
        },
        {"name": "label order", "sentence": "Renumbered: 70 %.", "accuracy": {}, "options": {}},
    ],
    "remarks": ["Values are divided by 255."],
}
