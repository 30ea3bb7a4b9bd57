"""What a sweep will do: its name, the configs of its strata, and what makes it this sweep and no other."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf

from landslide import __version__
from landslide import config as run_config
from landslide.errors import ConfigError
from landslide.sweep.launched import require_processes
from landslide.sweep.parameter import SEED
from landslide.sweep.rules import read_space
from landslide.sweep.slots import BASIC_LAUNCHER
from landslide.sweep.space import Space, Stratum

IDENTITY, PARENT, ASKED = "identity", "parent_id", "asked_name"
"""What each study of a sweep remembers: of what it is made, its MLflow run, and the name without a number."""

CHECKED_POINTS = 200
"""A grid of no more points is composed and checked point by point, a larger one value by value."""

NOT_IDENTITY = ("sweep", "tracking", "ckpt_path", "data.root", "data.cache_dir", "trainer.threads")
"""Values that do not make it another sweep: how it is run, and where things lie."""


@dataclass(frozen=True)
class Request:
    """What a command asks for, after everything in it was checked; nothing is written yet but the tile cache."""

    space: Space
    compose: Callable[[list[str]], DictConfig]
    """From overrides to the config of a run."""
    configs: Sequence[DictConfig]
    """Of each stratum, with nothing searched."""
    identities: Sequence[Mapping[str, str]]
    """Of each stratum."""
    name: str
    """Of the sweep, without the number of one that was begun anew."""
    base: Path
    """Folder of all sweeps."""
    disk: str | None
    """How much its runs will write; None for a task that is not this package's run."""


def read_request(arguments: list[str], params: Mapping[str, Any], loader: ConfigLoader, config: DictConfig) -> Request:
    """Read a command and check it.

    Args:
        arguments: overrides as typed, without those of ``hydra``.
        params: ``hydra.sweeper.params`` of the study file.
        loader: composes.
        config: composed of everything that is not searched, the part ``hydra`` included.

    Raises:
        UserError: for what the user can mend.
    """
    compose_one = partial(compose, loader, config)
    require_processes(config)
    space = read_space(arguments, params, config.sweep, loader, compose_one)
    configs, networks = compose_all(compose_one, space)
    base, disk = Path(config.hydra.sweep.dir), None
    if is_run(configs[0]):
        from landslide.training.disk import require_disk
        from landslide.training.hardware import choose_hardware

        if config.hydra.launcher._target_ == BASIC_LAUNCHER:  # any other may train on another machine
            for each in (*configs, *networks):
                choose_hardware(each.trainer)
        axis = next((len(parameter.values) for parameter in space.parameters if parameter.key == SEED), 1)
        disk = require_disk(networks, base, again=axis - 1 + repeats_wanted(space, config.sweep))
        _require_groups(compose_one, space)
    identities = [identity(each, space, config.sweep, data_digest(each)) for each in configs]
    return Request(space, compose_one, configs, identities, sweep_name(config.sweep, space, config), base, disk)


def repeats_wanted(space: Space, settings: DictConfig) -> int:
    """How often the best setting of each stratum is trained anew; seeds that are listed say it by their number."""
    return len(space.seeds) or int(settings.repeats)


def sweep_name(settings: DictConfig, space: Space, config: DictConfig) -> str:
    """The name that was given, else the study file's, else one made from what varies.

    A name made from the command has a digest of it, so another command is another sweep; but not where it differs only
    in the order of what is fixed, or in how it is run. A study in a subfolder of ``sweeps/`` has ``-`` in its name for
    ``/``, which divides a sweep from its strata.
    """
    given: str | None = settings.name or OmegaConf.select(config, "hydra.runtime.choices.sweeps")
    if given:
        return given.replace("/", "-")
    varied = [parameter.key.rpartition(".")[2] for parameter in space.parameters]
    strata = list(settings.strata) if len(space.strata) > 1 else []
    fixed = sorted((word for word in space.fixed if not belongs(key_of(word), NOT_IDENTITY)), key=key_of)
    said = json.dumps([space.describe(), fixed, [stratum.overrides for stratum in space.strata], space.seeds])
    words = re.sub(r"[^A-Za-z0-9_-]+", "", "-".join([*strata, *varied])) or "sweep"
    return f"{words[:60]}-{hashlib.sha256(said.encode()).hexdigest()[:8]}"


def compose(loader: ConfigLoader, config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The config of one run.

    Raises:
        ConfigError: for what does not compose, or what no run could use.
    """
    try:
        composed = loader.load_sweep_config(config, list(overrides))
    except ValueError as error:  # a check without a name of its own, such as of `data=3,4`
        raise ConfigError(f"{' '.join(overrides)}: does not compose ({error}).") from error
    if is_run(composed):
        run_config.check(composed)
    return composed


def is_run(cfg: DictConfig) -> bool:
    """Whether it is this package's run, whose values we can check; another task checks its own."""
    return OmegaConf.get_type(cfg) is run_config.RunConfig


def compose_all(
    compose_one: Callable[[list[str]], DictConfig], space: Space
) -> tuple[list[DictConfig], list[DictConfig]]:
    """Each stratum's config with nothing searched; and what is searched, composed and checked.

    Of the latter one of each network, which is what disks and sizes depend on.

    Raises:
        ConfigError: see :func:`compose`.
    """
    defaults = [compose_one(space.overrides(stratum, {})) for stratum in space.strata]
    points = [(stratum, values) for stratum in space.strata for values in _points_to_check(space, stratum)]
    networks: dict[tuple[Any, Any], DictConfig] = {}
    for number, (stratum, values) in enumerate(points):
        try:
            composed = compose_one(space.overrides(stratum, values))
        except ConfigError as error:
            label = " ".join(word for word in (*stratum.overrides, space.label(values)) if word)
            asked = f" That is trial {number + 1} of {len(points)}: {label}" if len(points) > 1 else ""
            raise ConfigError(f"{error}{asked}") from error
        key = OmegaConf.select(composed, "arch.name"), OmegaConf.select(composed, "encoder.name")
        networks.setdefault(key, composed)
    return defaults, list(networks.values())


def _require_groups(compose_one: Callable[[list[str]], DictConfig], space: Space) -> None:
    """Refuse a group that is held out in some trial and that the data have not.

    Raises:
        DataError: naming it and the groups that there are.
    """
    from landslide.data.layouts import list_tiles
    from landslide.data.splits import divide

    for parameter in space.parameters:
        for group in parameter.values if parameter.key == run_config.HOLD_OUT else ():
            data = compose_one([*space.overrides(space.strata[0], {}), parameter.override(group)]).data
            divide(list_tiles(data), data.split, data.negatives)


def _points_to_check(space: Space, stratum: Stratum) -> list[dict[str, Any]]:
    if space.sampler == "grid" and len(points := space.points(stratum)) <= CHECKED_POINTS:
        return points
    return space.corners(stratum)


def key_of(word: str) -> str:
    """Of an override or of its name, the name in the composed config: ``arch.depth`` of ``+arch.depth=3``."""
    return re.split("[=@]", word.lstrip("+~"))[0]


def belongs(key: str, names: Iterable[str]) -> bool:
    """Whether it is one of these names, or lies in one of them."""
    return any(key == name or key.startswith(f"{name}.") for name in names)


def identity(cfg: DictConfig, space: Space, settings: DictConfig, digest: str | None) -> dict[str, str]:
    """What makes it this search and no other: space, how it is searched, every other value, data, version."""
    searched = tuple(parameter.key for parameter in space.parameters)
    flat = {key: value for key, value in _flat(cfg).items() if not belongs(key, (*NOT_IDENTITY, *searched))}
    return {
        **flat,
        **{f"space of {key}": text for key, text in space.describe().items()},
        "sweep.sampler": space.sampler,  # a pruner decides nothing of what comes next, and may change
        "sweep.against": str(list(settings.against)),
        "data digest": str(digest),
        "version": __version__,
    }


def _flat(cfg: DictConfig) -> dict[str, str]:
    plain = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key not in ("hydra", "sweep")])
    return run_config.flat_params(plain)


def data_digest(cfg: DictConfig) -> str | None:
    """Of the tiles that all trials see; None for a task that is not this package's run.

    Raises:
        DataError: for data that no trial could read, before the first one begins.
        ConfigError: for an objective that these data have not.
    """
    if not is_run(cfg):
        return None
    from landslide.data.datamodule import TileDataModule
    from landslide.training.run import require_empty_tiles

    data = TileDataModule(cfg.data, augmentation=0.0, seed=cfg.seed)
    require_empty_tiles(cfg, data)
    return str(data.cache.digest)
