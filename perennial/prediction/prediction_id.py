"""Prediction id: names one answered instance, so that its outcome can be matched to it later.

`{partition}-{16 random hex}-{16 hex of a keyed hash}`: the partition tells where in the inference log
to look, and the hash that this system issued the id for that pipeline, without a look at any store.
"""

from __future__ import annotations

import hashlib
import hmac
import os

from perennial.errors import UnknownPrediction


def issue(pipeline: str, partition: str, secret: bytes) -> str:
    """A new id for a prediction of `pipeline` whose event lies in monitoring `partition`."""
    head = f"{partition}-{os.urandom(8).hex()}"
    return f"{head}-{_signature(pipeline, head, secret)}"


def verify(pipeline: str, prediction_id: str, secret: bytes) -> str:
    """The partition of an id that `issue` gave for `pipeline`; raises UnknownPrediction for any other."""
    head, _, signature = prediction_id.rpartition("-")
    expected = _signature(pipeline, head, secret)
    if not hmac.compare_digest(signature.encode("utf-8", "replace"), expected.encode()):
        raise UnknownPrediction(
            "no such prediction was made",
            where=pipeline,
            found=repr(prediction_id[:100]),
            expected="an id from the answer to a predict request",
            hint="send the id as it came, to the pipeline that gave it",
        )
    return head.rpartition("-")[0]


def _signature(pipeline: str, head: str, secret: bytes) -> str:
    message = f"{pipeline}\0{head}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(message, key=secret, digest_size=8).hexdigest()
