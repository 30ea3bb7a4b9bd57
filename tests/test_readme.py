"""What the README tells people to type."""

from __future__ import annotations

import itertools
import re
import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from landslide.cli.main import build_parser
from landslide.config import check
from tests.conftest import ROOT, compose_run

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line.split("#")[0].strip() for line in re.findall(r"^    (\S.*)$", README, flags=re.MULTILINE)]


def test_the_first_two_commands_are_the_main_job_and_the_tests() -> None:
    assert COMMANDS[:2] == ["make train", "make test"]


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("python train.py")])
def test_every_training_command_composes_and_passes_the_checks(command: str) -> None:
    arguments = [word for word in shlex.split(command)[2:] if not word.startswith("-") and word != "job"]
    asked = OverridesParser.create().parse_overrides(arguments)
    settings = [str(override.input_line) for override in asked if not override.is_sweep_override()]
    lists = [
        [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
        for override in asked
        if override.is_discrete_sweep()
    ]
    for values in itertools.product(*lists):
        check(compose_run(*settings, *values))


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("landslide ")])
def test_every_landslide_command_is_one(command: str) -> None:
    arguments = shlex.split(command.replace("[RUN...]", "").replace("[NAME]", ""))[1:]
    assert callable(build_parser().parse_args(arguments).run)


def test_every_link_to_a_file_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
