"""What a sweep is called."""

from __future__ import annotations

from hydra.core.config_loader import ConfigLoader
from omegaconf import open_dict

from landslide.sweep.plan import sweep_name
from tests.sweep.spaces import LR, composed, read


def name_of(loader: ConfigLoader, *words: str) -> str:
    cfg = composed(loader, *words)
    return sweep_name(cfg.sweep, read(loader, *words), cfg)


def test_a_name_made_from_the_command_is_another_one_only_where_the_search_is(loader: ConfigLoader) -> None:
    # Given
    first = ["arch=fpn", "data.batch_size=4", "optimizer.lr=0.1,0.2"]
    name = name_of(loader, *first)
    # When / Then: its order and how it is run are nothing of the search
    how = ["tracking.keep_models=none", "++trainer.threads=1", "data.root=elsewhere"]
    assert name_of(loader, *how, *reversed(first)) == name
    others = (["data.batch_size=8"], ["optimizer.lr=0.1,0.3"], ["+arch.decoder_dropout=0.1"])
    assert all(name_of(loader, *first, *words) != name for words in others)


def test_a_study_in_a_subfolder_gives_its_sweep_a_name_without_a_slash(loader: ConfigLoader) -> None:
    # Given: what Hydra says of `-m sweeps=mine/lr`
    cfg = composed(loader, LR)
    with open_dict(cfg):
        cfg.hydra.runtime.choices.sweeps = "mine/lr"
    # When / Then
    assert sweep_name(cfg.sweep, read(loader, LR), cfg) == "mine-lr"
