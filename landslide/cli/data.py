"""``landslide data``: datasets on disk."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from landslide.data.inspection import Inspection

OVERRIDES = "how the dataset is read, as train.py takes it: data=folder 'data.channels=[red,green,blue,nir]' ..."
MOST_PROBLEMS = 20
"""Printed of those that would break training; all are counted."""


def add(commands: Any) -> None:
    """Add the command and its own sub-commands."""
    parser = commands.add_parser("data", help="check, show or synthesize a dataset", description=__doc__)
    kinds = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_check(kinds)
    _add_show(kinds)
    _add_synthesize(kinds)


def _add_check(kinds: Any) -> None:
    check = kinds.add_parser(
        "check",
        help="read every file of a dataset and say what it holds and what would break training",
        description="Read every image and mask of a dataset: counts, sizes, bands, balance of classes, files that "
        "cannot be read, images and masks that do not fit, masks without a landslide, images that are there twice. The "
        "layout is recognised by its folders. Exit status 1 where something would break training.",
    )
    _add_dataset(check)
    check.set_defaults(run=run_check)


def _add_show(kinds: Any) -> None:
    show = kinds.add_parser(
        "show",
        help="draw a sheet of tiles with the outlines of their landslides",
        description="Draw tiles as a network sees them, with the outlines of their landslides, evenly spread over the "
        "dataset in the order of its file names.",
    )
    _add_dataset(show)
    show.add_argument(
        "-o", "--output", type=Path, default=Path("tiles.png"), help="PNG, PDF or SVG (default: tiles.png)"
    )
    show.add_argument("--count", type=_positive, default=24, help="tiles to draw (default: 24)")
    show.set_defaults(run=run_show)


def _add_dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, metavar="PATH", help="folder of the dataset")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=OVERRIDES)


def _add_synthesize(kinds: Any) -> None:
    synthesize = kinds.add_parser(
        "synthesize",
        help="write synthetic terrain with landslides, in the layout of the Bijie dataset",
        description="Write a synthetic dataset in the layout of the Bijie dataset, with an elevation model. The same "
        "seed writes the same bytes; a larger dataset begins with the smaller one. Use it with data.root=PATH "
        "data.generate=null.",
    )
    synthesize.add_argument("path", type=Path, metavar="PATH", help="a folder that does not exist yet")
    synthesize.add_argument("--count", type=int, default=400, help="tiles with a landslide (default: 400)")
    synthesize.add_argument("--non-landslide", type=int, default=0, help="tiles without one (default: 0)")
    synthesize.add_argument("--size", type=int, default=128, metavar="PX", help="side of a tile (default: 128)")
    synthesize.add_argument("--seed", type=int, default=0)
    synthesize.set_defaults(run=run_synthesize)


def run_check(arguments: argparse.Namespace) -> int:
    """Print what the dataset holds; 1 where something would break training."""
    from rich.progress import Progress

    from landslide.data.inspection import Inspection, inspect
    from landslide.data.layouts import TITLES, list_tiles
    from landslide.errors import DataError
    from landslide.terminal import open_console, tell

    cfg = _compose(arguments.path, arguments.overrides)
    console = open_console()
    tell(console, f"{arguments.path}: {TITLES[cfg.layout]}")
    try:
        tiles = list_tiles(cfg)
    except DataError as error:
        if not any(arguments.path.glob("*")):
            raise
        found = Inspection([], [str(error)])
    else:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            found = inspect(tiles, lambda facts: bar.track(facts, total=len(tiles), description="Reading"))
    for name, text in _rows(found):
        tell(console, f"  {name:<18} {text}")
    for remark in found.remarks:
        tell(console, f"note: {remark}")
    for problem in found.problems[:MOST_PROBLEMS]:
        console.print(f"would break training: {problem}", markup=False, style="red", soft_wrap=True)
    if len(found.problems) > MOST_PROBLEMS:
        console.print(f"and {len(found.problems) - MOST_PROBLEMS} more.", style="red")
    if not found.problems:
        typed = _as_typed(arguments, cfg, len(found.tiles))
        tell(console, f"Nothing stands against training: python train.py {typed}")
    return 1 if found.problems else 0


def run_show(arguments: argparse.Namespace) -> int:
    """Draw the sheet and say where it is."""
    import numpy as np
    from rich.progress import track

    from landslide.data.layouts import list_tiles
    from landslide.data.pixels import as_rgb
    from landslide.data.tiles import decode
    from landslide.errors import DataError
    from landslide.report.figures import outlines_figure

    cfg = _compose(arguments.path, arguments.overrides)
    tiles = list_tiles(cfg)
    shown = np.unique(np.linspace(0, len(tiles) - 1, min(arguments.count, len(tiles))).round().astype(int))
    chosen = [tiles[row] for row in shown]
    decoded = [decode(tile, cfg.image_size, cfg.bands) for tile in track(chosen, "Reading", transient=True)]
    figure = outlines_figure(
        as_rgb(np.stack([tile.image for tile in decoded]), list(cfg.bands), decoded[0].scale),
        np.stack([tile.mask for tile in decoded]),
        [tile.tile_id for tile in chosen],
        f"{len(chosen)} of {len(tiles)} tiles of {arguments.path.name}, evenly spread over their names",
    )
    try:
        figure.savefig(arguments.output, dpi=150)
    except (OSError, ValueError) as error:
        raise DataError(f"--output {arguments.output}: cannot be written ({error}).") from error
    print(f"{len(chosen)} of {len(tiles)} tiles: {arguments.output}")
    return 0


def _compose(root: Path, overrides: list[str]) -> DictConfig:
    """The ``data`` group for a folder, its layout recognised unless it is named.

    Raises:
        ConfigError: for an override that train.py would refuse.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException

    from landslide.config import check, register
    from landslide.data.layouts import fitting_layouts
    from landslide.errors import ConfigError

    register()
    fits = fitting_layouts(root)
    named = any(override.startswith("data=") for override in overrides)
    group = [] if named else [f"data={fits[0] if fits else 'folder'}"]
    try:
        with initialize_config_dir(str(Path(__file__).parents[2] / "conf"), version_base="1.3"):
            cfg = compose("config", [*group, *overrides])
    except HydraException as error:
        raise ConfigError(str(error)) from error
    cfg.data.root = str(root)
    if cfg.data.layout == "bijie":
        cfg.data.generate = None
        _take_all(root, cfg.data)
    elif (root / "train").is_dir() and not (root / str(cfg.data.images)).is_dir():
        cfg.data.split.by = "folder"
    check(cfg)
    data: DictConfig = cfg.data
    return data


def _take_all(root: Path, data: DictConfig) -> None:
    """Also the non-landslide images and elevation models that training leaves out unless it is told to take them."""
    if any((root / "non-landslide" / "image").glob("*.png")):
        data.negatives.val = "all"
    if (root / "landslide" / "dem").is_dir() and "dem" not in data.bands:
        data.bands = [*data.bands, "dem"]


def _rows(found: Inspection) -> list[tuple[str, str]]:
    from landslide.data.inspection import landslide_shares

    readable = found.readable
    if not readable:
        return []
    masked = sum(facts.tile.mask is not None for facts in found.tiles)
    pixels = sum(facts.height_px * facts.width_px for facts in readable if facts.tile.mask is not None)
    landslide_px = sum(facts.landslide_px for facts in readable)
    rows = [
        (
            "tiles",
            f"{masked} with a mask" + (f", {len(found.tiles) - masked} without" if masked < len(found.tiles) else ""),
        ),
        ("channels", ", ".join(readable[0].tile.channels)),
        ("pixels", ", ".join(f"{name} ({count} tiles)" for name, count in found.pixel_types.items())),
        ("width", _spread([facts.width_px for facts in readable])),
        ("height", _spread([facts.height_px for facts in readable])),
    ]
    if pixels:
        shares = landslide_shares(readable)
        spread = f"a tile {shares.min():.1%} to {shares.max():.1%}, mean {shares.mean():.1%}"
        rows.append(("landslide", f"{landslide_px / pixels:.1%} of all pixels with a mask; {spread}"))
    if models := sum(facts.tile.dem is not None for facts in readable):
        rows.append(("elevation models", str(models)))
    if 1 < len(found.groups) < len(readable) / 2:
        rows.append(("groups", ", ".join(f"{name or '-'} {count}" for name, count in found.groups.items())))
    return rows


def _spread(values: list[int]) -> str:
    from statistics import median

    low, high = min(values), max(values)
    return f"{low} px" if low == high else f"{low} to {high} px, median {median(values):g}"


def _as_typed(arguments: argparse.Namespace, cfg: DictConfig, tiles: int) -> str:
    """What to type to train on this dataset; a published split that asks for more tiles than there are is left."""
    words = [] if any(word.startswith("data=") for word in arguments.overrides) else [f"data={cfg.layout}"]
    words.append(f"data.root={arguments.path}")
    if cfg.split.by == "folder":
        words.append("data.split.by=folder")
    elif cfg.split.train + cfg.split.val > max(tiles, 1):
        words += ["data.split.train=0.8", "data.split.val=0.2"]
    return " ".join(shlex.quote(word) for word in dict.fromkeys([*words, *arguments.overrides]))


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number from 1")
    return int(text)


def run_synthesize(arguments: argparse.Namespace) -> int:
    """Write the dataset and say where it is."""
    from rich.progress import track

    from landslide.data.synthetic import synthesize

    root = synthesize(
        arguments.path,
        count=arguments.count,
        non_landslide=arguments.non_landslide,
        size_px=arguments.size,
        seed=arguments.seed,
        progress=lambda indices: track(list(indices), "Writing tiles"),
    )
    chosen = f"data.root={shlex.quote(str(root))} data.generate=null data.image_size={arguments.size}"
    print(f"{arguments.count} + {arguments.non_landslide} tiles in {root}. Train on them:")
    print(f"  python train.py {chosen} data.split.train=0.8 data.split.val=0.2")
    return 0
