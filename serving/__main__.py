"""Command: `python -m serving`, the model server."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from perennial.settings import find_home, home_at
from serving.server import serve, serve_bundle


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve as the arguments say; the address is the first line of standard output."""
    parser = argparse.ArgumentParser(prog="python -m serving", description="Serve the champion of every pipeline.")
    parser.add_argument("--home", type=Path, help="folder of all state (default: PERENNIAL_HOME)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0 takes any free one")
    parser.add_argument("--bundle", type=Path, help="serve this bundle alone, with no database and no log")
    parser.add_argument("--leashed", action="store_true", help="with --bundle: end when standard input closes")
    options = parser.parse_args(arguments)
    if options.bundle is not None:
        serve_bundle(options.bundle, host=options.host, port=options.port, leashed=options.leashed)
    else:
        home = home_at(options.home) if options.home else find_home(os.environ)
        serve(home, host=options.host, port=options.port)


if __name__ == "__main__":
    main()
