"""Train one model, or many with ``-m``; ``python train.py --help`` says what can be chosen."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from landslide.cli.exit_status import refused_by_hydra, tell, tell_refusal
from landslide.config import register
from landslide.errors import ConfigError, OutOfMemory, TrainingDiverged

register()


@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(cfg: DictConfig) -> Any:
    """Run one job."""
    from landslide.tracking.spool import has_unsent
    from landslide.training.run import run, run_folder  # seconds of imports that --help and --cfg do not wait for

    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    if settings.mode == RunMode.MULTIRUN:
        from landslide.sweep.trial import judge_of  # with Optuna, which a run alone does not need

        return run(cfg, folder, judge=judge_of(cfg))  # the sweeper decides what a failure means
    try:
        if study := settings.runtime.choices.get("sweeps"):
            raise ConfigError(f"sweeps={study}: a study is many runs, and needs -m: python train.py -m sweeps={study}")
        result = run(cfg, folder)
    except (TrainingDiverged, OutOfMemory) as error:
        print(f"train.py: {error} The run is FAILED.{_kept(run_folder(cfg, folder))}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"\ntrain.py: interrupted; the run is KILLED.{_kept(run_folder(cfg, folder))}", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        sys.exit(tell("train.py", error))
    if has_unsent(Path(result.folder)):
        sys.exit(1)  # the run has said why, and what to do
    return result


def _kept(folder: Path) -> str:
    last = folder / "checkpoints" / "last.ckpt"
    return f" Its last checkpoint: {last}" if last.is_file() else ""


if __name__ == "__main__":
    os.environ["HYDRA_FULL_ERROR"] = "1"  # or Hydra prints and ends by itself, with a traceback for a read-only folder
    try:
        main()
    except (Exception, KeyboardInterrupt) as error:  # outside a job, such as while a multirun is composed
        if refused_by_hydra(error):
            sys.exit(tell_refusal(error, Path(__file__).resolve().parent / "conf"))
        sys.exit(tell("train.py", error))
