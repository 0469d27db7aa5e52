"""`oncue models`: which models this machine has, fetching public ones, and looking whether one is whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from oncue_engine.checkpoints.embedded import embedded_folder

if TYPE_CHECKING:
    from oncue_engine.checkpoints.hub_snapshot import Snapshot
    from oncue_engine.checkpoints.repositories import HubName

__all__ = ["models"]

# The engine, with all its networks' libraries, is imported inside the commands: `oncue --help` must not wait for it.

models = typer.Typer(help="The models this machine has, and fetching public ones.", no_args_is_help=True)

_CACHE = typer.Option(help="The hub's cache; default: HF_HUB_CACHE, or where the hub's tools keep files.")


@models.command("list")
def list_models(cache: Annotated[Path | None, _CACHE] = None) -> None:
    """The model inside the package, and public ones that were fetched, wholly or in part; one JSON line each."""
    from oncue_engine.checkpoints.hub_cache import default_cache
    from oncue_engine.checkpoints.hub_snapshot import look, names_here
    from oncue_engine.checkpoints.layout import fingerprint
    from oncue_engine.errors import CheckpointError

    hub_cache = cache or default_cache()
    folder = embedded_folder()
    try:
        found: dict[str, object] = {"model": "nano", "folder": str(folder), "fingerprint": fingerprint(folder)}
    except (CheckpointError, OSError) as error:
        found = {"model": "nano", "folder": str(folder), "error": str(error)}
    typer.echo(json.dumps(found))
    for name in names_here(hub_cache):
        try:
            line = _hub_line(name, look(name, hub_cache))
        except CheckpointError as error:
            line = {"model": str(name), "reason": error.reason, "error": str(error)}
        typer.echo(json.dumps(line))


@models.command()
def fetch(
    model: Annotated[str, typer.Argument(help="hub:ORG/NAME, and revisions as docs/models.md has them.")],
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the licences of what is fetched; they are shown.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Only say whether all is here.")] = False,
    endpoint: Annotated[str, typer.Option(help="A mirror's address; default: HF_ENDPOINT, or the hub itself.")] = "",
    cache: Annotated[Path | None, _CACHE] = None,
    revision: Annotated[
        list[str] | None,
        typer.Option(help="A commit, branch or tag instead of the pinned one; ORG/PART=REVISION for another part."),
    ] = None,
    update: Annotated[bool, typer.Option("--update", help="Look up anew what branches and tags are.")] = False,
) -> None:
    """Fetch a public model, or what is missing of it; one JSON line with where it is. Exit 1 where it is not whole."""
    from huggingface_hub import is_offline_mode

    from oncue_engine.checkpoints.hub import FetchOptions
    from oncue_engine.checkpoints.hub import fetch as fetch_files
    from oncue_engine.checkpoints.hub_cache import default_cache
    from oncue_engine.checkpoints.hub_requests import Hub, default_endpoint
    from oncue_engine.checkpoints.repositories import parse_hub_name
    from oncue_engine.errors import CheckpointError
    from oncue_server.licences import accept_all, ask

    options = FetchOptions(
        cache or default_cache(), Hub(endpoint.rstrip("/") or default_endpoint()), offline or is_offline_mode(), update
    )
    try:
        name = parse_hub_name(_with_revisions(model, revision or []))
        found = fetch_files(name, options, accept_all if accept_licence else ask)
    except CheckpointError as error:
        typer.echo(f"oncue models fetch: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(json.dumps(_hub_line(name, found.snapshots)))


@models.command()
def verify(
    model: Annotated[str, typer.Argument(help="`nano`, a folder, `hub:ORG/NAME`, or `random:indextts2`.")] = "nano",
) -> None:
    """Digests of fetched files where they are known; then load the model, every key and every shape.

    One JSON line, exit 1 where something does not fit.
    """
    from oncue_engine.checkpoints.hub import fetched, verify_files
    from oncue_engine.checkpoints.hub_cache import default_cache
    from oncue_engine.checkpoints.hub_local import verify_downloads
    from oncue_engine.checkpoints.repositories import HUB_PREFIX, parse_hub_name
    from oncue_engine.errors import CheckpointError
    from oncue_engine.kinds.opening import open_model

    answer: dict[str, object] = {"model": model, "ok": True}
    try:
        if model.startswith(HUB_PREFIX):
            answer["digests"] = verify_files(fetched(parse_hub_name(model), default_cache()))
        elif compared := verify_downloads(Path(model)):
            answer["digests"] = compared
        answer["fingerprint"] = open_model(model)[1].fingerprint
    except CheckpointError as error:
        answer |= {"ok": False, "reason": error.reason, "error": str(error)}
    typer.echo(json.dumps(answer))
    if not answer["ok"]:
        raise typer.Exit(1)


@models.command("make-random")
def make_random(
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    size: Annotated[
        Literal["full", "small", "nano"],
        typer.Option(
            help="full: all files of the public model at its size, 8 GB; small: the same files in 7 MB; nano: the "
            "layout of the model inside the package, tiny."
        ),
    ] = "nano",
    seed: Annotated[int, typer.Option(help="The same seed gives the same weights.")] = 0,
    kind: Annotated[str, typer.Option(help="indextts2, indextts2.5 (small, full), cosyvoice2 (nano).")] = "indextts2",
) -> None:
    """Write a model with random weights: it speaks noise, for tests and measurements."""
    from oncue_engine.errors import CheckpointError
    from oncue_engine.kinds.random_folders import make_random_folder

    if folder.exists() and any(folder.iterdir()):
        typer.echo(f"{folder} is not empty", err=True)
        raise typer.Exit(1)
    try:
        typer.echo(str(make_random_folder(kind, size, folder, seed)))
    except CheckpointError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def _with_revisions(model: str, revisions: list[str]) -> str:
    """The model's name with revisions from the command line in it."""
    main, *parts = model.split(",")
    for revision in revisions:
        repository, is_part, of_part = revision.rpartition("=")
        if is_part:
            parts.append(f"{repository}@{of_part}")
        else:
            main = f"{main.partition('@')[0]}@{revision}"
    return ",".join((main, *parts))


def _hub_line(name: HubName, snapshots: Sequence[Snapshot]) -> dict[str, object]:
    missing = {one.repository.name: list(one.missing) for one in snapshots if one.missing}
    return {
        "model": str(name),
        "folder": str(snapshots[0].folder),
        "revisions": {one.repository.name: one.commit for one in snapshots},
        "bytes": sum(one.size_bytes() for one in snapshots),
        "complete": not missing,
        "missing": missing,
    }
