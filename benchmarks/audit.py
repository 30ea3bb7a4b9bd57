"""What `landslide data audit` finds of pairs that are planted, and what it takes for a pair that is none.

    python benchmarks/audit.py                                    # synthetic tiles
    LANDSLIDE_BIJIE_ROOT=... python benchmarks/audit.py --bijie

From each of some tiles a planted pair is cut, written into a temporary folder and put on both sides of a split; all
other tiles train. Nothing of what is written stays.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from landslide.data.audit import audit
from landslide.data.bijie import list_bijie
from landslide.data.splits import Split
from landslide.data.synthetic import synthesize
from landslide.data.tiles import Tile

Bytes = npt.NDArray[np.uint8]
LEAST_PX = 200
"""Shorter side of a tile from which pairs are cut."""


def changed(image: Bytes, random: np.random.Generator) -> Bytes:
    """Another brightness and contrast, noise of 3 of 255, and JPEG of quality 75."""
    values = image * random.uniform(0.7, 1.2) + random.uniform(-20, 20) + random.normal(0, 3, image.shape)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=75)
    return np.asarray(Image.open(buffer))


def overlapping(image: Bytes, share: float, random: np.random.Generator) -> tuple[Bytes, Bytes]:
    """Two crops of one size along one side of a tile, of which each shows so much of the other."""
    turned = random.random() < 0.5
    image = image.swapaxes(0, 1) if turned else image
    width = int(image.shape[1] / (2 - share))
    pair = image[:, :width], image[:, image.shape[1] - width :]
    first, second = (crop.swapaxes(0, 1) if turned else crop for crop in pair)
    return first, second


def resized(image: Bytes, random: np.random.Generator) -> Bytes:
    scale = random.uniform(0.5, 1.5)
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def turned(image: Bytes, random: np.random.Generator) -> Bytes:
    picture = Image.fromarray(image)
    picture = ImageOps.mirror(picture) if random.random() < 0.5 else picture
    return np.rot90(np.asarray(picture), random.integers(0, 4))


def plans() -> Iterator[tuple[str, Callable[[Bytes, np.random.Generator], tuple[Bytes, Bytes]]]]:
    """Kinds of planted pairs."""
    for share in (0.5, 0.3, 0.2, 0.12):
        yield f"crops, {share:.0%} shared", lambda image, random, share=share: overlapping(image, share, random)
        yield (
            f"crops, {share:.0%} shared, one changed",
            lambda image, random, share=share: _second(overlapping(image, share, random), changed, random),
        )
    yield "copy, changed", lambda image, random: (image, changed(image, random))
    yield "copy, resized and changed", lambda image, random: (image, changed(resized(image, random), random))
    yield "copy, turned and changed", lambda image, random: (image, changed(turned(image, random), random))
    yield (
        "copy, turned, resized, changed",
        lambda image, random: (image, changed(resized(turned(image, random), random), random)),
    )


def _second(pair: tuple[Bytes, Bytes], change: Callable, random: np.random.Generator) -> tuple[Bytes, Bytes]:
    return pair[0], change(pair[1], random)


def plant(tiles: list[Tile], folder: Path, count: int, random: np.random.Generator) -> tuple[list[Tile], Split]:
    """Planted tiles behind all those that no pair is cut from."""
    large = [tile for tile in tiles if min(Image.open(tile.image).size) >= LEAST_PX]
    kinds = list(plans())
    chosen = random.permutation(len(large))[: count * len(kinds)]
    sources = [large[row] for row in chosen]
    all_tiles = [tile for tile in tiles if tile not in sources]
    train, val = list(range(len(all_tiles))), []
    for number, source in enumerate(sources):
        kind, cut = kinds[number % len(kinds)]
        for side, image in zip("ab", cut(np.asarray(Image.open(source.image).convert("RGB")), random), strict=True):
            path = folder / f"{number}{side}.png"
            Image.fromarray(np.ascontiguousarray(image)).save(path)
            (val if side == "a" else train).append(len(all_tiles))
            all_tiles.append(Tile(f"{kind}/{number}/{side}", path, None))
    return all_tiles, Split(0, train, val)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bijie", action="store_true", help="the dataset in LANDSLIDE_BIJIE_ROOT")
    parser.add_argument("--each", type=int, default=20, help="pairs of each kind (default: 20)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    random = np.random.default_rng(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        if arguments.bijie:
            root = Path(os.environ["LANDSLIDE_BIJIE_ROOT"])
        else:
            root = synthesize(Path(name) / "tiles", count=600, non_landslide=0, size_px=224, seed=0)
        tiles, split = plant(list_bijie(root), Path(name), arguments.each, random)
        start, cpu = time.perf_counter(), time.process_time()
        found = audit(tiles, split)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    planted: dict[str, list[float]] = defaultdict(list)
    others = []
    for pair in found.pairs:
        kind, *source = pair.tile.tile_id.split("/")
        if [kind, source[0]] == pair.other.tile_id.split("/")[:2]:
            planted[kind].append(pair.correlation)
        else:
            others.append((pair.correlation, pair.share, pair.tile.tile_id, pair.other.tile_id))
    asked = defaultdict(int)
    for row in split.val:
        asked[tiles[row].tile_id.split("/")[0]] += 1
    print(f"{len(split.train)} + {len(split.val)} tiles, {seconds:.0f} s, {cpu:.0f} s of processor")
    for kind, count in asked.items():
        least = f", correlation {min(planted[kind]):.2f} or more" if planted[kind] else ""
        print(f"{kind:40} {len(planted[kind])} of {count}{least}")
    print(f"pairs of other tiles: {len(others)} of {len(split.train) * len(split.val)}")
    for correlation, share, one, other in sorted(others):
        print(f"  {correlation:.2f} {share:.0%} {one} {other}")


if __name__ == "__main__":
    main()
