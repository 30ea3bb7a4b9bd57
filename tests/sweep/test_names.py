"""Names that no composed config has."""

from __future__ import annotations

import pytest
from hydra.core.config_loader import ConfigLoader

from tests.sweep.spaces import refusal


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["optimizer.lrr=1,2"], "'optimizer.lrr' is not in the composed config. Did you mean 'optimizer.lr'?"),
        (["archh=unet,fpn"], "'archh' is not in the composed config. Did you mean 'arch'?"),
        (["optimizer=adamw,sgd", "optimizer.momentum=0.8,0.9"], "is not in the config composed with optimizer=adamw"),
    ],
)
def test_a_name_that_is_not_there_is_refused_with_the_nearest_right_one(
    overrides: list[str], words: str, loader: ConfigLoader
) -> None:
    assert words in refusal(loader, *overrides)
