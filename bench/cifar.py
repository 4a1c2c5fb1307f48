"""The common baseline of the benches that use CIFAR-10: a trained ResNet-20 with its data."""

from __future__ import annotations

from common import ROOT

from optim.data.added import add_data
from optim.library import add_model

__all__ = ["resnet20"]

DATA = ROOT.parent / "shared" / "data"


def resnet20() -> tuple[str, str] | None:
    """Register model and data in the present store; return their names, None without the files."""
    if not DATA.is_dir():
        return None
    data = add_data(DATA / "cifar10", name="cifar-10", title="CIFAR-10")
    model = add_model(
        DATA / "weights" / "resnet20_cifar10_jpeg.safetensors",
        architecture="resnet20",
        data=data.name,
        title="ResNet-20",
    )
    return model, data.name
