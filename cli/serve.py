"""Serve: the model server of all pipelines."""

from __future__ import annotations

import os
from typing import Annotated

import typer


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any free one.")] = 8000,
) -> None:
    """Answer prediction requests with the champion of every pipeline, and take pushed events, until Ctrl-C."""
    from perennial.settings import find_home
    from perennial.stores.production.pushed import publish_all
    from pipelines.discovery import discover
    from serving.server import serve as run

    home = find_home(os.environ)
    publish_all(home.pushed, discover().pipelines)
    run(home, host=host, port=port)
