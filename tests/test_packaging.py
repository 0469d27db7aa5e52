"""What an installation brings: entry points that load, floors that fit the stubs, a client without the engine."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BASE = {Requirement(line).name: Requirement(line) for line in PROJECT["dependencies"]}
STUBS = ROOT / "clients" / "python" / "oncue" / "v1"


@pytest.mark.parametrize("entry", importlib.metadata.entry_points(group="oncue.commands"), ids=lambda e: e.name)
def test_every_registered_command_loads(entry: importlib.metadata.EntryPoint) -> None:
    assert callable(entry.load())


def test_the_program_lists_its_commands() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "oncue.cli", "--help"], capture_output=True, text=True, timeout=120, check=True
    )
    for command in ("say", "voices", "emotions", "info", "plan", *PROJECT["entry-points"]["oncue.commands"]):
        assert re.search(rf"\b{command}\b", done.stdout), command


def test_base_install_imports_no_engine_and_no_torch() -> None:
    """In a process of its own: other tests have imported everything by now."""
    program = "import sys, oncue, oncue.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "oncue" in loaded
    assert not loaded & {"torch", "transformers", "soundfile", "scipy", "oncue_engine", "oncue_server"}


def test_floors_are_the_versions_the_stubs_were_made_with() -> None:
    grpc_floors = {
        match[1]
        for path in STUBS.glob("*_pb2_grpc.py")
        if (match := re.search(r"GRPC_GENERATED_VERSION = '([\d.]+)'", path.read_text()))
    }
    protobuf_floors = {
        match[1]
        for path in STUBS.glob("*_pb2.py")
        if (match := re.search(r"Protobuf Python Version: ([\d.]+)", path.read_text()))
    }
    assert {str(floor.version) for floor in BASE["grpcio"].specifier} == grpc_floors
    assert {str(floor.version) for floor in BASE["protobuf"].specifier} == protobuf_floors


def test_constraints_satisfy_every_requirement() -> None:
    pins = {
        name.lower().replace("_", "-"): Version(version)
        for name, version in re.findall(r"^([\w.-]+)==([\w.+-]+)$", (ROOT / "constraints.txt").read_text(), re.M)
    }
    extras = PROJECT["optional-dependencies"].values()
    for line in [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]:
        requirement = Requirement(line)
        if requirement.name == "oncue":
            continue
        pin = pins.get(requirement.name.lower().replace("_", "-"))
        assert pin is not None, f"{requirement.name} has no pin in constraints.txt"
        assert pin in requirement.specifier, f"{requirement} does not allow the pin {pin}"


def test_every_dependency_is_explained() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text().lower()
    extras = PROJECT["optional-dependencies"].values()
    for line in [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]:
        name = Requirement(line).name.lower()
        assert f"`{name}`" in text or name == "oncue", f"CONTRIBUTING.md says nothing of {name}"
