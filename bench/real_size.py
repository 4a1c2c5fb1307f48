"""A network of real size: card, size, first answer and memory for 100 MB and 4 GMACs.

A ResNet-50 with random weights, opened as it is when somebody brings it: once as a module that can
be trained, once as the ONNX graph it came as. Then it is brought to the real app in a real
Chromium, and a slider is dragged. Pictures are noise: what is timed does not depend on them.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import record
from server import browser_page, running_app

SIZE, PICTURES = 224, 256
CARD_GOAL_S = 10.0
STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""Width, blocks and stride of each stage (He et al., 2015, arXiv:1512.03385)."""


def resnet50() -> Any:
    """Return a ResNet-50 with random weights and norms that have seen two batches of noise."""
    import torch
    from torch import nn

    def unit(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        return [conv, nn.BatchNorm2d(outputs)]

    class Bottleneck(nn.Module):
        def __init__(self, inputs: int, width: int, stride: int) -> None:
            super().__init__()
            self.body = nn.Sequential(
                *(*unit(inputs, width, 1), nn.ReLU()),
                *(*unit(width, width, 3, stride), nn.ReLU()),
                *unit(width, 4 * width, 1),
            )
            changes = stride > 1 or inputs != 4 * width
            self.shortcut = nn.Sequential(*unit(inputs, 4 * width, 1, stride) if changes else ())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.body(x) + self.shortcut(x))

    torch.manual_seed(0)
    layers, inputs = [*unit(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
    for width, blocks, stride in STAGES:
        for block in range(blocks):
            layers.append(Bottleneck(inputs, width, stride if block == 0 else 1))
            inputs = 4 * width
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1000))
    network = nn.Sequential(*layers, *head).train()
    with torch.no_grad():
        for _ in range(2):
            network(torch.randn(4, 3, SIZE, SIZE))
    return network.eval()


def write_files(folder: Path) -> None:
    """Write the network as torch exports it, and pictures with labels."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter will go
        torch.onnx.export(
            resnet50(),
            (torch.zeros(1, 3, SIZE, SIZE),),
            str(folder / "resnet50.onnx"),
            dynamo=False,
            opset_version=17,
            input_names=["image"],
            dynamic_axes={"image": {0: "N"}},
        )
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (PICTURES, 3, SIZE, SIZE), dtype=np.uint8)
    np.savez(folder / "pictures.npz", x=pixels, y=np.arange(PICTURES) % 1000)


def timed(figures: dict[str, Any], name: str, work: Callable[[], Any]) -> Any:
    """Do something and note how long it took, and how long its threads computed together."""
    start, computed = time.perf_counter(), time.process_time()
    result = work()
    figures[f"{name}_s"] = time.perf_counter() - start
    figures[f"{name}_cpu_s"] = time.process_time() - computed
    return result


def memory_mb() -> float:
    """Return the most memory this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def measured(folder: Path, lane: str) -> dict[str, Any]:
    """Open the network in one lane and go through positions of the sliders, in this process."""
    from optim.data.added import add_data, open_registered_data
    from optim.library import add_model
    from optim.models.onnx_file import open_onnx
    from optim.recipe import Recipe
    from optim.subject import Subject
    from optim.techniques.prune_weights import PruneWeights
    from optim.techniques.quantize import Quantize
    from optim.whatif.engine import Engine, Workbench

    file, figures = folder / "resnet50.onnx", {"file_mb": 0.0, "macs": 0.0}
    figures["file_mb"] = file.stat().st_size / 1e6
    add_data(folder / "pictures.npz", name="pictures")
    recipe, engine = Recipe("resnet50", "pictures"), Engine(registered_only=True)
    if lane == "torch":
        timed(figures, "card", lambda: add_model(file, data="pictures", name="resnet50"))
        bench = timed(figures, "open", lambda: engine.workbench(recipe))
    else:
        data = open_registered_data("pictures")
        bundle = timed(figures, "card", lambda: open_onnx(file, data, as_graph=True))
        subject = Subject(bundle, data, "all", "unknown", 0)
        bench = timed(figures, "open", lambda: Workbench(subject, engine))
    figures["macs"] = bench.macs
    positions = {
        "original": recipe,
        "8 bits": recipe.with_step(Quantize()),
        "4-bit weights": recipe.with_step(Quantize(weight_bits=4, activation_bits="float")),
        **{
            f"{s:.0%} zero weights": recipe.with_step(PruneWeights(sparsity=s))
            for s in (0.5, 0.7, 0.9)
        },
    }
    figures["positions"] = {}
    for name, position in positions.items():
        own: dict[str, Any] = {}
        # What is shown first, while the rest is computed.
        timed(own, "outline", lambda: engine.outlined(bench.outline(position)))  # noqa: B023
        prepared = timed(own, "apply", lambda: bench.prepare(position, draft=True))  # noqa: B023
        static = timed(own, "size_and_macs", lambda: engine.static(prepared))  # noqa: B023
        chunk = timed(own, "first_chunk", lambda: bench.predictions(prepared, 0))  # noqa: B023
        own |= {"file_mb": static.file.value / 1e6, "n": len(chunk), "of": len(bench.samples)}
        figures["positions"][name] = {**own, "draft": prepared.is_draft}
    caches = {"models": engine.bundles, "files": engine.files, "predictions": engine.predictions}
    figures["cached_mb"] = {name: cache.used / 1e6 for name, cache in caches.items()}
    figures["limit_mb"] = {name: cache.limit / 1e6 for name, cache in caches.items()}
    return {**figures, "most_memory_mb": memory_mb()}


# --- in a browser ---------------------------------------------------------------------------------

CHANNELS = 'input[data-field="prune_channels.pruning_ratio"]'
DRAG_STEPS = 6
WAIT_MS = 600_000

CHANGES = """before => new Promise(done => {
  const began = performance.now();
  const text = name => document.querySelector(`[data-number="${name}"] .optim-big`)?.textContent;
  const look = () => ["size", "macs"].every(name => text(name) !== before[name])
    ? done(performance.now() - began) : requestAnimationFrame(look);
  look();
})"""
"""Waits until size and MACs are others, and says after how many ms."""


def in_browser(folder: Path) -> dict[str, Any]:
    """Bring the network to the app, drag its channels away step by step, and let go."""
    with running_app(OPTIM_HOME=str(folder / "app")) as address, browser_page() as page:
        page.set_default_timeout(WAIT_MS)
        figures: dict[str, Any] = {}

        def until(name: str, began: float) -> float:
            figures[name] = time.perf_counter() - began
            return time.perf_counter()

        page.goto(f"{address}/use-my-model")
        page.get_by_text("Bring the model first").wait_for()
        at = time.perf_counter()
        page.locator("input[type=file]").first.set_input_files(folder / "resnet50.onnx")
        page.get_by_text("Classification, 1,000 classes").wait_for()
        at = until("upload_to_card_s", at)
        page.locator("input[type=file]").nth(1).set_input_files(folder / "pictures.npz")
        page.get_by_text("How they are read").wait_for()
        at = until("upload_to_samples_s", at)
        page.get_by_role("button", name="Confirm and check").click()
        page.get_by_role("button", name="Keep as it is").click()  # its weights are random
        page.locator('[data-number="size"] .optim-big').wait_for()
        page.wait_for_function(
            "document.querySelector('[data-number=size] .optim-big').textContent.includes('MB')"
        )
        at = until("confirmed_to_sizes_s", at)
        page.wait_for_function(ANSWERED)
        at = until("sizes_to_first_accuracy_s", at)
        figures["drag_ms"] = drag(page)
        at = time.perf_counter()
        page.mouse.up()
        page.wait_for_function(f"{ANSWERED} && !document.querySelector('.optim-pending')")
        until("release_to_accuracy_s", at)
        figures["basis"] = page.locator(".optim-basis").inner_text()
        return figures


ANSWERED = f"document.querySelector('.optim-basis')?.textContent.includes('of {PICTURES}')"


def drag(page: Any) -> list[float]:
    """Drag the channels' slider in steps, and return after how many ms size and MACs followed."""
    slider = page.locator(CHANNELS)
    box = slider.bounding_box()
    left, width, y = box["x"] + 8, box["width"] - 16, box["y"] + box["height"] / 2
    page.mouse.move(left, y)
    page.mouse.down()
    page.wait_for_timeout(5_000)  # the thumb has jumped to the pointer
    found = []
    for step in range(1, DRAG_STEPS + 1):
        before = {
            name: page.locator(f'[data-number="{name}"] .optim-big').inner_text()
            for name in ("size", "macs")
        }
        page.mouse.move(left + width * step / (DRAG_STEPS + 2), y)
        found.append(page.evaluate(CHANGES, before))
    return found


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measured(Path(sys.argv[1]), sys.argv[2])))
        return
    results: dict[str, Any] = {"card_goal_s": CARD_GOAL_S, "load": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder))
        for lane in ("torch", "graph"):
            home = {**os.environ, "OPTIM_HOME": f"{folder}/{lane}"}
            command = [sys.executable, __file__, folder, lane]
            done = subprocess.run(command, env=home, capture_output=True, text=True, check=True)
            results[lane] = json.loads(done.stdout.splitlines()[-1])
        results["browser"] = in_browser(Path(folder))
    record("real_size", results)


if __name__ == "__main__":
    main()
