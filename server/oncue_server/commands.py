"""The commands that the server brings to `oncue`: serve and parity."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from oncue_server.settings import Settings

__all__ = ["parity", "serve"]

# The engine, with all its networks' libraries, is imported inside the commands: `oncue --help` must not wait for it.


def serve(
    model: Annotated[
        str,
        typer.Option(
            envvar="ONCUE_MODEL",
            help="`nano`, the model inside the package, a folder, `hub:ORG/NAME`: a public model, fetched where it is "
            "not here yet, or `random:indextts2`: the public full size with random weights, for measurements.",
        ),
    ] = "nano",
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the licences of a public model; they are shown.")
    ] = False,
    address: Annotated[str, typer.Option(help="HOST:PORT or unix:PATH; port 0 takes a free one.")] = "127.0.0.1:50051",
    data: Annotated[
        Path | None, typer.Option(envvar="ONCUE_DATA", help="Folder for voices, emotions and prepared prompts.")
    ] = None,
    glossary: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="YAML file of terms and how they are said (docs/text.md)."),
    ] = None,
    lanes: Annotated[int | None, typer.Option(min=1, help="Threads that run stages side by side.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads that share a token step.")] = None,
    precision: Annotated[str, typer.Option(help="Of matrix products: auto, float32 or bfloat16.")] = "auto",
    weights: Annotated[str, typer.Option(help="Of what token steps read: auto, float32, bfloat16 or int8.")] = "auto",
    pipeline: Annotated[
        Literal["oncue", "naive", "crossfade"],
        typer.Option(help="For measurements: another way to make the audio, one request at a time."),
    ] = "oncue",
    decoding: Annotated[
        Literal["streaming", "reference"],
        typer.Option(
            help="How tokens are drawn. `reference`: by beams, as the public implementation does; audio waits for the "
            "end of its segment."
        ),
    ] = "streaming",
    beams: Annotated[int | None, typer.Option(min=1, max=16, help="Beams of reference decoding; default: 3.")] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Other listeners do not change a bit of anyone's speech; slower.")
    ] = False,
    flow_steps: Annotated[
        int | None, typer.Option(min=1, help="Flow steps of every chunk; default: the model's own number.")
    ] = None,
    duration_experiment: Annotated[
        bool,
        typer.Option(
            "--duration-experiment",
            help="Tell a model with two speed rows how long it shall speak, where it may have learnt to look.",
        ),
    ] = False,
    requests_per_second: Annotated[float, typer.Option(min=0, help="Calls per client and second; 0: no limit.")] = 50.0,
    drain: Annotated[float, typer.Option(min=0, help="Seconds that running calls may take when stopping.")] = 30.0,
    reflection: Annotated[bool, typer.Option(help="Tell clients the contract.")] = True,
    until_stdin_closes: Annotated[
        bool, typer.Option(help="Stop when standard input ends, that is, when the parent process goes.")
    ] = False,
) -> None:
    """Serve speech over gRPC until SIGINT or SIGTERM.

    Writes one JSON line to standard output when it is ready: {"address", "model", "fingerprint", "native_rate_hz"}.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    _fetch_first(model, accept_licence)

    from oncue_engine.errors import EngineError
    from oncue_engine.options import EngineOptions
    from oncue_server.app import AddressInUse
    from oncue_server.settings import Settings, default_data_dir

    settings = Settings(
        model=model,
        address=address,
        data_dir=data or default_data_dir(),
        engine=EngineOptions(
            lanes,
            threads,
            weights,
            precision,
            deterministic,
            flow_steps,
            duration_row_experiment=duration_experiment,
            pipeline=pipeline,
            decoding=decoding,
            beams=beams,
        ),
        glossary=glossary,
        requests_per_second=requests_per_second,
        drain_s=drain,
        reflection=reflection,
    )
    try:
        asyncio.run(_serve(settings, until_stdin_closes))
    except (EngineError, AddressInUse) as error:
        typer.echo(f"oncue serve: {error}", err=True)
        raise typer.Exit(1) from error


def _fetch_first(model: str, accept_licence: bool) -> None:
    """Bring a public model here, before anything slow is imported. Exit 1 where it cannot be had."""
    from oncue_engine.checkpoints.repositories import HUB_PREFIX, parse_hub_name

    if not model.startswith(HUB_PREFIX):
        return

    from oncue_engine.checkpoints.hub import FetchOptions, fetch
    from oncue_engine.errors import CheckpointError
    from oncue_server.licences import accept_all, ask

    # It would write every address that is asked, and large files lie at signed ones.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    try:
        fetch(parse_hub_name(model), FetchOptions(), accept_all if accept_licence else ask)
    except CheckpointError as error:
        typer.echo(f"oncue serve: {error}", err=True)
        raise typer.Exit(1) from error


async def _serve(settings: Settings, until_stdin_closes: bool) -> None:
    from oncue_server.app import serving

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    if until_stdin_closes:
        threading.Thread(target=_wait_for_stdin, args=(loop, stopping), daemon=True).start()
    async with serving(settings) as server:
        ready = {
            "address": server.address,
            "model": server.info.model,
            "fingerprint": server.info.fingerprint,
            "native_rate_hz": server.info.native_rate_hz,
        }
        print(json.dumps(ready), flush=True)
        await stopping.wait()
        # A second signal ends the process in the usual way.
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _wait_for_stdin(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    while sys.stdin.buffer.read(1):
        pass
    if not loop.is_closed():
        loop.call_soon_threadsafe(stopping.set)


def parity(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Golden files.")],
    dtype: Annotated[
        str, typer.Option(help="float32, float64, bfloat16, float16, or int8, which only serving has.")
    ] = "float32",
    served: Annotated[
        bool, typer.Option("--served", help="The blocks as they serve: packed, in float32, bfloat16 or int8.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, or cuda: the plain modules on a GPU.")] = "cpu",
) -> None:
    """Compare our modules with golden files; one JSON line per output, exit 1 if any fails.

    In a rounded precision, whole numbers (codes, ids) have an `agreement`, the share of equal ones, and no error.
    """
    from oncue_engine.parity.runner import run_parity

    raise typer.Exit(run_parity(files, dtype, served=served, device=device))
