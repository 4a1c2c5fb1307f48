"""Images per second of training: the one loop against the loop people write.

ResNet-20 on CIFAR-10, batches of 128, padded crops and mirroring, SGD with Nesterov momentum. The
plain loop has a Dataset of images, a DataLoader, and transforms of torchvision's kind, done on
Pillow images one after the other. All ways take turns in one process, so that what else the machine
does falls on all of them; a ratio is always taken within one turn. Of the compiled model only the
steps count: compilation takes about a minute the first time, and the loop says whether it paid off.
"""

from __future__ import annotations

import copy
import io
import math
import random
import statistics
import time
import zipfile
from collections.abc import Callable
from pathlib import PurePosixPath

import numpy as np
import torch
from cifar import DATA
from common import record
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from optim.models.zoo import ARCHITECTURES
from optim.train import Augment, Compute, Epoch, Schedule, classification_loss, fit

CIFAR = DATA / "cifar10" / "train.zip"
IMAGES, BATCH, ROUNDS, WORKERS = 512, 128, 9, 2
PLAIN, COMPILED = "DataLoader", "ours, compiled"
RESNET = ARCHITECTURES["resnet"](depth=20)
MEAN, STD = torch.tensor(RESNET.spec.mean), torch.tensor(RESNET.spec.std)


# --- the loop people write ------------------------------------------------------------------------


def random_crop(image: Image.Image) -> Image.Image:
    """Pad by four pixels and cut out a window of the old size, as ``RandomCrop(32, 4)``."""
    padded = ImageOps.expand(image, border=4, fill=0)
    top, left = random.randint(0, 8), random.randint(0, 8)
    return padded.crop((left, top, left + 32, top + 32))


def random_mirror(image: Image.Image) -> Image.Image:
    """Mirror half of the images, as ``RandomHorizontalFlip()``."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else image


def to_tensor(image: Image.Image) -> Tensor:
    """Return ``(3, 32, 32)`` in 0..1, as ``ToTensor()``."""
    pixels = torch.from_numpy(np.array(image, np.uint8, copy=True))
    return pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)


def normalise(x: Tensor) -> Tensor:
    """Subtract the mean and divide by the deviation, as ``Normalize(mean, std)``."""
    return x.clone().sub_(MEAN[:, None, None]).div_(STD[:, None, None])


class Cifar(Dataset[tuple[Tensor, int]]):
    """Images in memory, changed one after the other, as ``torchvision.datasets.CIFAR10``."""

    def __init__(self, pixels: np.ndarray, targets: np.ndarray) -> None:
        self.pixels, self.targets = pixels, targets

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self.pixels[index])
        return normalise(to_tensor(random_mirror(random_crop(image)))), int(self.targets[index])


def plain_epoch(module: nn.Module, loader: DataLoader[tuple[Tensor, int]]) -> None:
    """Train one epoch as tutorials do."""
    module.train()
    optimizer = torch.optim.SGD(
        module.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    loss_sum, correct = 0.0, 0
    for x, targets in loader:
        outputs = module(x)
        loss = functional.cross_entropy(outputs, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss_sum += loss.item()
        correct += int((outputs.argmax(1) == targets).sum())


# --- ours -----------------------------------------------------------------------------------------


def train(
    module: nn.Module,
    pixels: np.ndarray,
    targets: np.ndarray,
    compute: Compute,
    epochs: int = 1,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> None:
    """Train a copy by the one loop, from stored pixels on."""
    fit(
        copy.deepcopy(module),
        RESNET.spec.normalise(pixels.transpose(0, 3, 1, 2)),
        torch.from_numpy(targets),
        classification_loss(),
        Schedule(epochs, BATCH, 0.1, clip=0.0),
        generator=torch.Generator().manual_seed(0),
        augment=Augment(shift=4, flip=True),
        compute=compute,
        on_epoch=on_epoch,
    )


def images() -> tuple[np.ndarray, np.ndarray, str]:
    """Return ``(N, 32, 32, 3)`` images and their classes: CIFAR-10 where it is, noise elsewhere."""
    if not CIFAR.is_file():
        rng = np.random.default_rng(0)
        shape = (IMAGES, 32, 32, 3)
        return rng.integers(0, 256, shape, dtype=np.uint8), np.arange(IMAGES) % 10, "synthetic"
    with zipfile.ZipFile(CIFAR) as file:
        names = sorted(n for n in file.namelist() if n.endswith((".jpg", ".jpeg", ".png")))
        chosen = names[:: len(names) // IMAGES][:IMAGES]
        folders = [PurePosixPath(name).parent.name for name in chosen]
        classes = sorted(set(folders))
        pixels = [np.array(Image.open(io.BytesIO(file.read(n))).convert("RGB")) for n in chosen]
    return np.stack(pixels), np.array([classes.index(f) for f in folders]), "CIFAR-10"


def interval(ratios: list[float]) -> list[float]:
    """Return the interval of about 95 % of a median, from the order of the ratios alone."""
    ordered, n = sorted(ratios), len(ratios)
    outside = max(0, math.floor(n / 2 - 0.98 * math.sqrt(n)))
    return [ordered[outside], ordered[n - 1 - outside]]


def main() -> None:
    pixels, targets, data = images()
    module = RESNET.build(RESNET.spec.shape, 10, seed=0)
    ways: dict[str, Callable[[], object]] = {}
    for count in (0, WORKERS):
        loader = DataLoader(
            Cifar(pixels, targets),
            BATCH,
            shuffle=True,
            drop_last=True,
            num_workers=count,
            persistent_workers=count > 0,
        )
        name = f"DataLoader, {count} workers" if count else PLAIN
        ways[name] = lambda loader=loader: plain_epoch(copy.deepcopy(module), loader)
    for name, compute in {
        "ours, channels first": Compute(channels_last=False),
        "ours": Compute(),
        "ours, bfloat16": Compute("bfloat16"),
    }.items():
        ways[name] = lambda compute=compute: train(module, pixels, targets, compute)
    turns: dict[str, list[float]] = {name: [] for name in (*ways, COMPILED)}

    def turn(epoch: Epoch) -> None:
        """Time the other ways once between two epochs of the compiled one."""
        turns[COMPILED].append(epoch.seconds)
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            turns[name].append(time.perf_counter() - start)

    # The first turn warms up.
    train(module, pixels, targets, Compute(compile=True), ROUNDS + 1, turn)
    measured = {name: seconds[1:] for name, seconds in turns.items()}
    results: dict[str, object] = {
        "data": data,
        "images_an_epoch": len(pixels),
        "threads": torch.get_num_threads(),
    }
    for name, seconds in measured.items():
        ratios = [plain / own for plain, own in zip(measured[PLAIN], seconds, strict=True)]
        results[name] = {
            "images_per_s": len(pixels) / statistics.median(seconds),
            "times_plain_loop": statistics.median(ratios),
            "interval": interval(ratios),
        }
    record("train", results)


if __name__ == "__main__":
    main()
