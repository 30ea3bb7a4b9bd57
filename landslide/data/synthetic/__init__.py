"""A seeded landslide dataset in Bijie's layout, with a DEM: for tests, demonstrations and first runs without data.

Each tile is a small piece of mountain country seen from above: a valley, fractal slopes, forest and grass, fields,
a road along the contours, now and then a river or a village. Landslide scars start on steep ground and run downhill.
Bare fields, clearings, quarries, gravel and road cuts are made of the same soils, and the colours of scars overlap with
theirs, so that no threshold on a channel or an index finds the scars: texture, shape and the lie of the ground do.

canvas.py      what all of them draw with
counties.py    groups of tiles; terrain.py the ground; land_cover.py what lies on it; scars.py the landslides
tile.py        all of it as one tile, under the light of one pass
dataset.py     many tiles, written

Colours are float32 in ``[0, 1]`` and channels first, ``(3, H, W)``, until the last step; lengths are in metres on the
ground unless a name ends in ``_px``. Rows run down the image, and north is up.
"""

from landslide.data.synthetic.canvas import GSD_M
from landslide.data.synthetic.counties import tile_name
from landslide.data.synthetic.dataset import GENERATOR_VERSION, synthesize
from landslide.data.synthetic.tile import SyntheticTile, synthesize_tile

__all__ = ["GENERATOR_VERSION", "GSD_M", "SyntheticTile", "synthesize", "synthesize_tile", "tile_name"]
