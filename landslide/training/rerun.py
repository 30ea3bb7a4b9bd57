"""A stored run again, from what it recorded."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from landslide import config
from landslide.errors import ConfigError, TrackingError
from landslide.tracking.provenance import Difference, differences, environment
from landslide.tracking.store import FOLDER, Store
from landslide.training.result import RunResult
from landslide.training.run import Parts, run

NOT_COMPARED = ("time", "memory", "system", "test")
"""First parts of metrics that no two runs share, or that no training logs: of looks at the test part."""


@dataclass(frozen=True)
class Recorded:
    """What a run left, as far as it can be made again from it."""

    run: Run
    config: DictConfig
    environment: dict[str, Any]


def read_recorded(store: Store, found: Run) -> Recorded:
    """Config and environment of a stored run.

    Raises:
        TrackingError: where it stored none, such as a multirun, or one that failed before it began.
    """
    client, run_id = store.client, found.info.run_id
    try:
        with TemporaryDirectory() as scratch:
            files = [
                Path(client.download_artifacts(run_id, name, scratch)) for name in ("config.yaml", "environment.json")
            ]
            stored = OmegaConf.merge(OmegaConf.structured(config.RunConfig), OmegaConf.load(files[0]))
            facts = json.loads(files[1].read_text(encoding="utf-8"))
    except (MlflowException, OSError, ValueError, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrackingError(
            f"run {run_id} ({found.info.run_name}): its config.yaml and environment.json cannot be read ({reason}). "
            "Only single runs that began to train can be run again."
        ) from error
    assert isinstance(stored, DictConfig)
    return Recorded(found, stored, facts)


def plan(recorded: Recorded, overrides: Sequence[str], uri: str) -> DictConfig:
    """The config to run: as recorded, but to this store and from the first epoch.

    Args:
        recorded: of the run.
        overrides: ``key=value``, dotted; values as in YAML.
        uri: of the store.

    Raises:
        ConfigError: for an override that the config does not know.
    """
    fresh = {"ckpt_path": None, "tracking": {"run_id": None, "uri": uri}, "sweep": {"trial": None}}
    try:
        for word in overrides:
            if "=" not in word:
                raise ConfigError(f"'{word}' is no override: write key=value, such as data.root=tiles.")
        cfg = OmegaConf.merge(recorded.config, fresh, OmegaConf.from_dotlist(list(overrides)))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{' '.join(overrides)}: {str(error).splitlines()[0]}") from error
    assert isinstance(cfg, DictConfig)
    config.check(cfg)
    return cfg


def what_differs(recorded: Recorded, parts: Parts) -> list[Difference]:
    """Config, data, split, precision, versions, device and commit, each where it is not as it was recorded."""
    tags = recorded.run.data.tags
    now = {
        "data digest": parts.data.cache.digest,
        "split digest": parts.identity["split digest"],
        "precision": parts.hardware.precision,
    }
    before = {key: tags.get(f"landslide.{key.replace(' ', '_')}", "-") for key in now}
    return [
        *differences(before, now),
        *differences(_params(recorded.config), _params(parts.cfg)),
        *differences(recorded.environment, environment(parts.hardware.device)),
    ]


def _params(cfg: DictConfig) -> dict[str, str]:
    return {
        key: value for key, value in config.flat_params(cfg).items() if not key.startswith(("tracking.", "ckpt_path"))
    }


def run_again(recorded: Recorded, cfg: DictConfig) -> RunResult:
    """Train it, as a new run that is tagged with the old one's id, in a folder of its own."""
    folder = FOLDER / "outputs" / datetime.now().astimezone().strftime("%Y-%m-%d/%H-%M-%S-%f")
    return run(cfg, folder.resolve(), {"landslide.rerun_of": recorded.run.info.run_id})


@dataclass(frozen=True)
class Deviation:
    """The largest difference between two series of a metric; NaN where one has points that the other has not."""

    metric: str
    points: int
    largest: float


def deviations(store: Store, one: str, other: str) -> list[Deviation]:
    """For each metric of either run, how far its points are apart; without :data:`NOT_COMPARED`."""
    series = [_series(store, run_id) for run_id in (one, other)]
    return [
        Deviation(key, len(series[0].get(key, {})), _largest(series[0].get(key, {}), series[1].get(key, {})))
        for key in sorted(series[0].keys() | series[1].keys())
    ]


def _series(store: Store, run_id: str) -> dict[str, dict[int, float]]:
    keys = [key for key in store.client.get_run(run_id).data.metrics if key.split("/")[0] not in NOT_COMPARED]
    return {key: {point.step: point.value for point in store.client.get_metric_history(run_id, key)} for key in keys}


def _largest(one: Mapping[int, float], other: Mapping[int, float]) -> float:
    if one.keys() != other.keys():
        return math.nan
    return max((abs(one[step] - other[step]) for step in one), default=0.0)
