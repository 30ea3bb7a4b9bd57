"""Train one model, or many with ``-m``; ``python train.py --help`` says what can be chosen."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from landslide.config import register
from landslide.errors import UserError

register()


@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(cfg: DictConfig) -> Any:
    """Run one job."""
    from landslide.training.run import run  # seconds of imports that --help and --cfg do not wait for

    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    if settings.mode == RunMode.MULTIRUN:
        return run(cfg, folder)  # the sweeper decides what a failure means
    try:
        return run(cfg, folder)
    except UserError as error:
        print(f"train.py: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        last = folder / "checkpoints" / "last.ckpt"
        kept = f" Its last checkpoint: {last}" if last.is_file() else ""
        print(f"\ntrain.py: interrupted; the run is KILLED.{kept}", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # outside a job, such as while a multirun is composed
        print("\ntrain.py: interrupted.", file=sys.stderr)
        sys.exit(130)
