"""Files of the Hugging Face Hub, fetched once and kept: ``hf://owner/repository/file@revision``.

Nothing is asked for over the network unless whoever runs the program switched it on. A fetched file
is as hostile as any upload: it is opened by the same readers, and never executed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from optim.errors import AccessError, UnsupportedModelError
from optim.optional import optional_package
from optim.quantity import Quantity
from optim.storage import cache_home

__all__ = ["SWITCH", "fetched", "located"]

_HUB = "hf://"
SWITCH = "OPTIM_HUB"
"""Environment variable that allows files to be fetched."""
MOST_BYTES = 2 * 2**30
_ADDRESS = re.compile(
    r"hf://(?P<repository>[\w.-]+/[\w.-]+)/(?P<file>[\w.-]+(?:/[\w.-]+)*)(?:@(?P<revision>[\w./-]+))?"
)
_ENDINGS = (".onnx", ".opack", ".pt", ".pth", ".safetensors")


def located(file: str, base: Path = Path()) -> Path:
    """Return where a file of a model lies.

    Args:
        file: A path, or an address that :func:`fetched` takes.
        base: Folder that relative paths are looked up in.

    Raises:
        OptimError: As :func:`fetched` does.
    """
    return fetched(file) if file.startswith(_HUB) else base / Path(file).expanduser()


def fetched(address: str) -> Path:
    """Return the file at an address, from the cache if it was fetched before.

    Args:
        address: ``hf://owner/repository/file``, with ``@`` and a branch, tag or commit behind it if
            not the newest is meant. The file ends in ``.onnx``, ``.opack``, ``.safetensors``,
            ``.pt`` or ``.pth``.

    Raises:
        AccessError: If fetching was not switched on.
        MissingDependencyError: If ``huggingface_hub`` is not installed.
        UnsupportedModelError: If it is no such address, or the file cannot be had or is too large.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None or ".." in address:
        raise UnsupportedModelError(
            f"{address!r} is not an address of a file.",
            hint="Write hf://owner/repository/file.onnx, with @revision behind it or without.",
        )
    if not found["file"].endswith(_ENDINGS):
        raise UnsupportedModelError(
            f"{found['file']!r} is no model: its name must end in {', '.join(_ENDINGS)}.",
            hint="Name one file of the repository.",
        )
    if os.environ.get(SWITCH) != "1":
        raise AccessError(
            "This program fetches nothing from the network by itself.",
            hint=f"Set {SWITCH}=1 to allow addresses that begin with {_HUB}.",
        )
    hub = optional_package(
        "huggingface_hub",
        "Files of the Hugging Face Hub are fetched by huggingface_hub, which is not installed.",
        "pip install huggingface_hub",
    )
    asked = {
        "repo_id": found["repository"],
        "filename": found["file"],
        "revision": found["revision"],
        "cache_dir": cache_home() / "hub",
    }
    try:
        size = hub.hf_hub_download(**asked, dry_run=True).file_size
        if size > MOST_BYTES:
            raise UnsupportedModelError(
                f"{address} has {Quantity.exact(size, 'bytes')}, more than "
                f"{Quantity.exact(MOST_BYTES, 'bytes')}."
            )
        return Path(hub.hf_hub_download(**asked))
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UnsupportedModelError(
            f"{address} cannot be fetched: {reason}",
            hint="Look at the address in a browser; a private repository needs HF_TOKEN.",
        ) from error
