"""A published comparison as a sweep: its name, what is typed for it, and where it differs from what was published."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from landslide.config import check, composing, register
from landslide.errors import ConfigError, nearest
from landslide.report.labels import short_names
from landslide.report.reproduction_settings import Change
from landslide.sweep.generations import generation_name, newest_generation
from landslide.sweep.plan import NOT_IDENTITY, PARENT
from landslide.sweep.storage import open_existing, resolve_url
from landslide.sweep.values import quoted

SCALES = {"epochs": "trainer.max_epochs", "encoder": "encoder", "image_size": "data.image_size"}
"""What ``--scale`` names, and the value or group that it stands for."""

_LABELS = {value: name for name, value in SCALES.items()} | {
    f"data.split.{part}": part for part in ("train", "val", "test")
}
_OURS = ("experiment", "arch", "seed", "sweeps", "sweep")
_SWEEP_MAY = ("sweep.slots", "sweep.storage", "sweep.fresh", "sweep.on_change", "sweep.max_attempts")
_HOW_IT_RUNS = (*NOT_IDENTITY, "seed", "trainer.accelerator", "trainer.memory_format", "trainer.deterministic")
"""Values that do not make it another experiment."""

_LONGEST_NAME = 96
"""So that the number of a sweep that is begun anew fits behind it (:func:`landslide.config.check_sweep`)."""


@dataclass(frozen=True)
class Plan:
    """What a reproduction trains."""

    name: str
    """Of the sweep; holds everything that is scaled."""
    overrides: tuple[str, ...]
    """Behind ``train.py -m``."""
    seeds: tuple[int, ...]
    changes: tuple[Change, ...]
    cfg: DictConfig
    """Of the first model and the first seed."""


@dataclass(frozen=True)
class Begun:
    """A sweep that the database knows."""

    parent_id: str
    """Its MLflow run."""
    folder: Path


def read_plan(
    conf: Path, paper: str, arches: Sequence[str], *, seeds: str, scale: str, overrides: Sequence[str]
) -> Plan:
    """Read what is asked for, and check it.

    Seeds follow one another, because the sweep trains the first one and repeats it with those that follow: so more can
    be asked for later, and nothing is trained twice.

    Args:
        conf: the folder to compose from.
        paper: a file of ``conf/experiment/``.
        arches: the models, files of ``conf/arch/``.
        seeds: ``0,1,2``.
        scale: ``epochs=6,encoder=resnet18``; empty for nothing.
        overrides: further ones, as typed.

    Raises:
        ConfigError: for what cannot be read, or is not ours to choose.
        CompactHydraException: for what Hydra refuses.
    """
    register()
    numbers = read_seeds(seeds)
    typed = [*read_scale(scale), *overrides]
    for word in typed:
        _require_free(word)
    fixed = [f"experiment={paper}", *typed]
    with composing(typed), initialize_config_dir(str(conf), job_name="train", version_base="1.3"):
        published = compose("config", [f"experiment={paper}", f"arch={arches[0]}"])
        cfg = compose("config", [*fixed, f"arch={arches[0]}", f"seed={numbers[0]}"])
    check(cfg)
    changes = (*_changes(published, cfg), *_other_tiles(cfg))
    name = _name(f"reproduce-{paper}", changes, numbers[0])
    return Plan(
        name=name,
        overrides=(
            *fixed,
            f"arch={','.join(arches)}",
            f"seed={numbers[0]}",
            f"sweep.repeats={len(numbers) - 1}",
            f"sweep.name={quoted(name)}",
        ),
        seeds=numbers,
        changes=changes,
        cfg=cfg,
    )


def read_seeds(text: str) -> tuple[int, ...]:
    """Seeds of a comma list, in order.

    Raises:
        ConfigError: for one that is no whole number from 0 up, is named twice, or leaves a gap.

    Examples:
        >>> read_seeds("1,0,2")
        (0, 1, 2)
    """
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if not re.fullmatch(r"[0-9]{1,9}", word):
            raise ConfigError(f"--seeds {text}: '{word}' is no whole number from 0 up. Write them so: --seeds 0,1,2")
    seeds = sorted(map(int, words))
    doubled = [seed for seed, following in pairwise(seeds) if seed == following]
    if doubled:
        raise ConfigError(f"--seeds {text}: {doubled[0]} stands there more than once. Name each once.")
    if seeds[-1] - seeds[0] != len(seeds) - 1:
        whole = ",".join(map(str, range(seeds[0], seeds[0] + len(seeds))))
        raise ConfigError(f"--seeds {text}: seeds must follow one another, such as --seeds {whole}")
    return tuple(seeds)


def read_scale(text: str) -> list[str]:
    """Overrides from ``epochs=6,encoder=resnet18``.

    Raises:
        ConfigError: for another name, one without a value, or one that is named twice.

    Examples:
        >>> read_scale("epochs=6,image_size=128")
        ['trainer.max_epochs=6', 'data.image_size=128']
    """
    found: dict[str, str] = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = word.partition("=")
        if name not in SCALES or not value:
            known = ", ".join(f"{each}=..." for each in SCALES)
            raise ConfigError(
                f"--scale {word}: must be one of {known}.{nearest(name, SCALES)} Other values are typed as overrides, "
                "such as data.batch_size=8."
            )
        if name in found:
            raise ConfigError(f"--scale {text}: {name} stands there more than once.")
        found[name] = f"{SCALES[name]}={value}"
    return list(found.values())


def find_begun(plan: Plan) -> Begun | None:
    """The sweep of this plan, the newest of its name; None where none was begun."""
    storage = open_existing(resolve_url(plan.cfg.sweep.storage))
    if storage is None:
        return None
    name = generation_name(plan.name, newest_generation(storage, plan.name))
    for study in storage.get_all_studies():
        facts = study.user_attrs
        if facts.get("sweep") == name and PARENT in facts and "folder" in facts:
            return Begun(facts[PARENT], Path(facts["folder"]))
    return None


def _require_free(word: str) -> None:
    given = OverridesParser.create().parse_override(word)
    key = given.key_or_group
    if given.is_sweep_override():
        raise ConfigError(f"{word}: give one value; what varies here are the models and their seeds.")
    if key in _OURS or (key.startswith("sweep.") and key not in _SWEEP_MAY):
        what = {"seed": "Name seeds so: --seeds 0,1,2", "experiment": "Scale it instead: --scale epochs=6"}
        cure = what.get(key, f"Of a sweep only {', '.join(_SWEEP_MAY)} can be chosen here.")
        raise ConfigError(f"{word}: what is reproduced settles it. {cure}")


def _changes(published: DictConfig, cfg: DictConfig) -> list[Change]:
    """What differs by itself, and not because it is filled in from what does."""
    theirs, ours = (_values(each, resolve=False) for each in (published, cfg))
    shown = [_values(each, resolve=True) for each in (published, cfg)]
    return [
        Change(key, _label(key), *(_text(key, values.get(key)) for values in shown))
        for key in {**theirs, **ours}
        if theirs.get(key) != ours.get(key) and not any(key == how or key.startswith(f"{how}.") for how in _HOW_IT_RUNS)
    ]


def _other_tiles(cfg: DictConfig) -> list[Change]:
    """Ours in the layout of the paper's."""
    from landslide.data.synthetic.dataset import SETTINGS_FILE

    made = (Path(cfg.data.root) / SETTINGS_FILE).is_file()
    return [Change("data.root", "data", "Bijie", "synthetic")] if made and cfg.data.name == "bijie" else []


def _values(cfg: DictConfig, *, resolve: bool) -> dict[str, Any]:
    """By dotted name."""
    found: dict[str, Any] = {}

    def walk(prefix: str, node: Any) -> None:
        if isinstance(node, dict) and prefix != "data.generate":
            for key, value in node.items():
                walk(f"{prefix}.{key}" if prefix else str(key), value)
        else:
            found[prefix] = node

    walk("", OmegaConf.to_container(cfg, resolve=resolve))
    return found


def _label(key: str) -> str:
    group, _, part = key.rpartition(".")
    return _LABELS.get(key) or (group if part == "_target_" else short_names([key])[key])


def _text(key: str, value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return str(value).rpartition(".")[2] if key.endswith("._target_") else str(value)


def _name(begin: str, changes: Sequence[Change], first_seed: int) -> str:
    words = [begin, *(f"{change.label}-{change.ours}" for change in changes)]
    words += [f"from-seed-{first_seed}"] if first_seed else []  # another first seed is another sweep
    name = re.sub(r"[^A-Za-z0-9._]+", "-", "-".join(words)).strip("-")
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9].rstrip('-.')}-{digest}"
