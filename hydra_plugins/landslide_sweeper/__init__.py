"""Where Hydra finds the sweeper; it is scanned at every command, so the work is imported when a sweep begins."""

from collections.abc import Mapping
from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class LandslideSweeper(Sweeper):
    """See :mod:`landslide.sweep.sweeper`.

    Args:
        params: a search space from a study file, in Hydra's grammar; the command line goes before it.
    """

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        self.params: Mapping[str, Any] = params or {}
        self._setup: Any = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra hands over what a sweep needs."""
        self._setup = (hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> Any:
        """Run what the command line asks for."""
        from landslide.sweep.sweeper import sweep

        return sweep(arguments, self.params, *self._setup)
