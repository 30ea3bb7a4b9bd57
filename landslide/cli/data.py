"""``landslide data``: datasets on disk."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from rich.console import Console
    from rich.table import Table

    from landslide.data.audit import Audit, Pair
    from landslide.data.inspection import Inspection
    from landslide.report.pairs_figure import Half

OVERRIDES = "how the dataset is read, as train.py takes it: data=folder 'data.channels=[red,green,blue,nir]' ..."
MOST_PROBLEMS = 20
"""Printed of those that would break training; all are counted."""
MOST_PAIRS = 24
"""Printed and drawn of an audit; all are counted, and in the CSV file."""


def add(commands: Any) -> None:
    """Add the command and its own sub-commands."""
    parser = commands.add_parser("data", help="check, show, audit or synthesize a dataset", description=__doc__)
    kinds = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_check(kinds)
    _add_show(kinds)
    _add_audit(kinds)
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


def _add_audit(kinds: Any) -> None:
    audit = kinds.add_parser(
        "audit",
        help="find near-duplicates and overlapping crops across the parts of a split",
        description="Compare every validation tile with every training tile, and every test tile with both: "
        "near-duplicates of any size, brightness, flip or quarter turn, and crops that overlap by a tenth of the "
        "smaller one or more. Nothing is changed. Exit status 0, whatever is found.",
    )
    audit.add_argument(
        "words",
        nargs="*",
        metavar="[PATH] KEY=VALUE",
        help="the dataset and its split, as train.py takes them: data=bijie data.split.seed=1 ...; or its folder first",
    )
    audit.add_argument("--csv", type=Path, metavar="FILE", help="write every pair, worst first")
    audit.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER", help="draw the worst pairs into pairs.png there, ground framed"
    )
    audit.set_defaults(run=run_audit)


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


def run_audit(arguments: argparse.Namespace) -> int:
    """Say which tiles of one part show ground of another."""
    from rich.progress import Progress

    from landslide.data.audit import audit
    from landslide.data.layouts import list_tiles
    from landslide.data.splits import divide
    from landslide.errors import make_folder
    from landslide.terminal import open_console, tell

    words = arguments.words
    in_folder = words and "=" not in words[0]
    cfg = _compose(Path(words[0]), words[1:]) if in_folder else _as_trained(words)
    for folder in (arguments.output, arguments.csv and arguments.csv.parent):
        if folder is not None:
            make_folder(folder)
    console = open_console()
    tiles = list_tiles(cfg)
    split = divide(tiles, cfg.split, cfg.negatives)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        found = audit(tiles, split, lambda items, total, what: bar.track(items, total=total, description=what))
    sizes = ", ".join(f"{count} {part}" for part, count in found.sizes.items() if count)
    tell(console, f"{cfg.root}: {sizes} ({split.kind} split, seed {split.seed})")
    _show_pairs(console, found, groups=len({tile.group for tile in tiles}))
    if arguments.csv is not None:
        _write_pairs(arguments.csv, found.pairs)
        tell(console, f"Every pair: {arguments.csv}")
    if arguments.output is not None and found.pairs:
        tell(console, f"The worst of them: {_draw_pairs(arguments.output, found.pairs)}")
    return 0


def _show_pairs(console: Console, found: Audit, groups: int) -> None:
    from landslide.data.audit import NEAR_DUPLICATE, OVERLAP
    from landslide.terminal import tell

    if found.pairs:
        console.print(_pairs_table(found.pairs[:MOST_PAIRS]))
    if len(found.pairs) > MOST_PAIRS:
        tell(console, f"and {len(found.pairs) - MOST_PAIRS} more.")
    for part, name in (("val", "validation"), ("test", "test")):
        size, seen = found.sizes[part], found.seen(part)
        if not size:
            continue
        copies, crops = found.seen(part, NEAR_DUPLICATE), found.seen(part, OVERLAP)
        how = f": {copies} as a near-duplicate, {crops} in an overlapping crop" if seen else ""
        tell(console, f"{seen} of {size} {name} tiles show ground that a training tile shows{how}.")
    if found.pairs:
        together = sum(pair.tile.group == pair.other.group for pair in found.pairs)
        of_one = f"{together} of {len(found.pairs)} pairs are of one group"
        by_group = f"data.split.by=group ({of_one}), or " if groups > 1 else ""
        tell(
            console,
            f"What is measured on such tiles flatters. Put both tiles of a pair into one part: {by_group}a file of "
            "your own with the columns tile and part: data.split.csv=FILE",
        )


def _pairs_table(pairs: Sequence[Pair]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("tile", "part", "shows ground of", "part", "as"):
        table.add_column(heading, overflow="fold")
    for heading in ("share of the tile", "correlation"):
        table.add_column(heading, justify="right", no_wrap=True)
    for pair in pairs:
        table.add_row(
            *(
                escape(text)
                for text in (pair.tile.tile_id, pair.part, pair.other.tile_id, pair.other_part, _kind(pair))
            ),
            f"{pair.share:.0%}",
            f"{pair.correlation:.2f}",
        )
    return table


def _kind(pair: Pair) -> str:
    return f"{pair.kind}, {pair.turn}" if pair.turn else pair.kind


def _write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    import csv

    from landslide.errors import DataError

    columns = ("tile", "part", "other", "other_part", "kind", "turn", "share", "correlation", "row_px", "column_px")
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            for pair in pairs:
                names = (pair.tile.tile_id, pair.part, pair.other.tile_id, pair.other_part, pair.kind, pair.turn)
                place = (pair.shared.row_px, pair.shared.column_px) if pair.shared else ("", "")
                writer.writerow([*names, f"{pair.share:.4f}", f"{pair.correlation:.4f}", *place])
    except OSError as error:
        raise DataError(f"--csv {path}: cannot be written ({error}).") from error


def _draw_pairs(folder: Path, pairs: Sequence[Pair]) -> Path:
    from landslide.errors import DataError
    from landslide.report.pairs_figure import pairs_figure

    shown = pairs[:MOST_PAIRS]
    title = f"{len(shown)} of {len(pairs)} pairs, those that share most; framed: the ground that both show"
    figure = pairs_figure([_halves(pair) for pair in shown], title)
    path = folder / "pairs.png"
    try:
        figure.savefig(path, dpi=150, bbox_inches="tight")
    except OSError as error:
        raise DataError(f"--output {folder}: cannot be written ({error}).") from error
    return path


def _halves(pair: Pair) -> tuple[Half, Half]:
    """Both tiles as pictures, with the shared ground of each."""
    import numpy as np

    from landslide.data.pixels import FULL_SCALE, as_rgb, read_image
    from landslide.report.pairs_figure import Half

    images = []
    for tile in (pair.tile, pair.other):
        pixels = read_image(tile.image, tile.channels)
        scale = [FULL_SCALE[pixels.dtype.name]] * len(tile.channels)
        images.append(as_rgb(pixels[np.newaxis], tile.channels, scale)[0])
    if pair.shared is None:
        boxes = [(0, 0, *image.shape[:2]) for image in images]
    else:
        row, column, size = pair.shared.row_px, pair.shared.column_px, (pair.shared.height_px, pair.shared.width_px)
        boxes = [(max(0, row), max(0, column), *size), (max(0, -row), max(0, -column), *size)]
    said = f"{_kind(pair)}, {pair.share:.0%}, correlation {pair.correlation:.2f}"
    words = [f"{pair.tile.tile_id} ({pair.part})", f"{pair.other.tile_id} ({pair.other_part}) {said}"]
    first, second = (Half(*half) for half in zip(images, boxes, words, strict=True))
    return first, second


def _as_trained(overrides: list[str]) -> DictConfig:
    """The ``data`` group as train.py would compose it.

    Raises:
        ConfigError: for an override that train.py would refuse.
    """
    from landslide.config import check

    cfg = _composed(overrides)
    check(cfg)
    data: DictConfig = cfg.data
    return data


def _compose(root: Path, overrides: list[str]) -> DictConfig:
    """The ``data`` group for a folder, its layout recognised unless it is named.

    Raises:
        ConfigError: for an override that train.py would refuse.
    """
    from landslide.config import check
    from landslide.data.layouts import fitting_layouts

    fits = fitting_layouts(root)
    named = any(override.startswith("data=") for override in overrides)
    group = [] if named else [f"data={fits[0] if fits else 'folder'}"]
    cfg = _composed([*group, *overrides])
    cfg.data.root = str(root)
    if cfg.data.layout == "bijie":
        cfg.data.generate = None
        _take_all(root, cfg.data)
    elif (root / "train").is_dir() and not (root / str(cfg.data.images)).is_dir():
        cfg.data.split.by = "folder"
    check(cfg)
    data: DictConfig = cfg.data
    return data


def _composed(overrides: list[str]) -> DictConfig:
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException

    from landslide.config import composing, register
    from landslide.errors import ConfigError

    register()
    conf = str(Path(__file__).parents[2] / "conf")
    try:
        with composing(overrides), initialize_config_dir(conf, version_base="1.3"):
            return compose("config", overrides)
    except HydraException as error:
        raise ConfigError(str(error)) from error


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
