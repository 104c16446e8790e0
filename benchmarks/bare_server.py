"""Bare server: ASGI, msgspec and onnxruntime and nothing else: no features, no checks, no log, no batches.

`python -m benchmarks.bare_server MODEL PORT` answers `{"inputs": {feature: [[value]]}}`.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import uvicorn

TYPES = {"tensor(float)": np.float32, "tensor(string)": object}


def build_app(model: str) -> Callable[..., Awaitable[None]]:
    """The ASGI application that runs the ONNX file `model`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    types = {node.name: TYPES[node.type] for node in session.get_inputs()}

    async def app(
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            return
        inputs = msgspec.json.decode((await receive())["body"] or b"{}").get("inputs")
        answer: list[Any] = []
        if inputs:
            feed = {name: np.array(inputs[name], dtype=dtype) for name, dtype in types.items()}
            answer = session.run(None, feed)[0].ravel().tolist()
        body = msgspec.json.encode({"predictions": answer})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


if __name__ == "__main__":
    uvicorn.run(
        build_app(sys.argv[1]), port=int(sys.argv[2]), loop="uvloop", http="httptools", access_log=False,
        log_level="warning", lifespan="off",
    )  # fmt: skip
