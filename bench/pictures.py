"""Take the pictures of the README from the real app: pages as they are, and the Lab in motion.

    python bench/pictures.py                    # all of them, into docs/pictures/
    python bench/pictures.py lab ladder

An animation is what was seen: frames are taken while the slider moves, and shown at their pace.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from common import ROOT
from PIL import Image
from server import browser_page, prepared_home, running_app

PICTURES = ROOT / "docs" / "pictures"
WIDTH, HEIGHT = 1280, 860
SETTLE_MS = 2_500
"""For charts that fade in and answers that tighten."""
CHANNELS = 'input[data-field="prune_channels.pruning_ratio"]'
LOOK_MS = 900
LIMIT_MS = 240_000
MEASURED = """() => {
  const badge = document.querySelector('[data-number=latency] .optim-badge');
  return badge && badge.textContent === 'measured';
}"""
STOPS = 8
COLOURS = 128
SHRINK = 0.75


@dataclass(frozen=True)
class Picture:
    """A page and what is done on it before it is looked at.

    Attributes:
        path: Of the page.
        ready: A selector of what is waited for.
        act: What somebody does first.
    """

    path: str
    ready: str
    act: Callable[[Any], None] = lambda page: None


def _seen(page: Any) -> None:
    """Leave positions on the chart, as somebody who explored."""
    page.locator(CHANNELS).focus()
    for key in [*["ArrowLeft"] * 8, *["ArrowRight"] * 10]:
        page.keyboard.press(key)
        page.wait_for_timeout(LOOK_MS)
    page.wait_for_function(MEASURED, timeout=LIMIT_MS)


STILLS = {
    "home": Picture("", "text=Next"),
    "lab": Picture("lab", "text=This network", _seen),
    "ladder": Picture("ladder", "text=Cortex"),
    "lesson": Picture("learn?lesson=outliers", ".optim-lesson .main-svg"),
}


def still(page: Any, address: str, picture: Picture, path: Path) -> None:
    """Save one page as it looks when it has come to rest."""
    opened(page, address, picture)
    picture.act(page)
    page.wait_for_timeout(SETTLE_MS)
    path.write_bytes(indexed(page.screenshot()))


def opened(page: Any, address: str, picture: Picture) -> None:
    page.goto(f"{address}/{picture.path}")
    page.locator(picture.ready).first.wait_for(timeout=LIMIT_MS)
    page.wait_for_timeout(SETTLE_MS)


def indexed(png: bytes) -> bytes:
    """Return the same picture with 256 colours, a third of the bytes."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256).save(out, "PNG", optimize=True)
    return out.getvalue()


def motion(page: Any, address: str, path: Path) -> None:
    """Save the Lab while its first slider moves, every frame shown as long as it was seen."""
    opened(page, address, STILLS["lab"])
    slider = page.locator(CHANNELS)
    slider.focus()
    frames: list[tuple[float, Image.Image]] = []

    def look(count: int) -> None:
        for _ in range(count):
            png = page.screenshot()
            frames.append((time.monotonic(), Image.open(io.BytesIO(png)).convert("RGB")))

    look(3)
    for key in ["ArrowRight"] * STOPS + ["ArrowLeft"] * (STOPS // 2):
        page.keyboard.press(key)
        look(2)
    look(4)
    size = (int(WIDTH * SHRINK), int(HEIGHT * SHRINK))
    images = [frame.resize(size, Image.Resampling.LANCZOS) for _, frame in frames]
    palette = images[len(images) // 2].quantize(COLOURS)
    shown = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    pace = [round(1_000 * (after[0] - now[0])) for now, after in pairwise(frames)]
    shown[0].save(
        path,
        save_all=True,
        append_images=shown[1:],
        duration=[*pace, 2_000],
        loop=0,
        optimize=True,
        disposal=1,
    )


def main() -> None:
    """Take the pictures that were named, or all."""
    names = [*STILLS, "motion"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="*", help=f"of {', '.join(names)}; all if none")
    asked = parser.parse_args().pictures or names
    PICTURES.mkdir(exist_ok=True)
    with (
        prepared_home() as home,
        running_app(OPTIM_HOME=home) as address,
        browser_page(WIDTH, HEIGHT) as page,
    ):
        for name in asked:
            if name == "motion":
                motion(page, address, PICTURES / "lab.gif")
            else:
                still(page, address, STILLS[name], PICTURES / f"{name}.png")
            print(name)


if __name__ == "__main__":
    main()
