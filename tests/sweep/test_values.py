"""One value, written for Hydra."""

from __future__ import annotations

from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution

from landslide.sweep.parameter import Parameter


@pytest.mark.parametrize(
    "value",
    ["unet", "1e-3", "true", "null", "a,b", "[a]", "", " a ", "it's", "a=b", "${seed}", 3, 0.1, 1e-9, True, None],
)
def test_a_value_is_written_so_that_hydra_reads_the_same_value(value: Any) -> None:
    parameter = Parameter("optimizer.lr", CategoricalDistribution((value,)), values=(value,))
    read_back = OverridesParser.create().parse_override(parameter.override(value)).value()
    assert (read_back, type(read_back)) == (value, type(value))
