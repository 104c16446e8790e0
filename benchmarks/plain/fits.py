"""Plain fits: the candidates of one training, fitted and measured on the rows of its training set, and no more.

python -m benchmarks.plain.fits taxi_eta 2023-12
"""

from __future__ import annotations

import json
import os
import sys

from perennial.content import content_hash
from perennial.settings import find_home
from perennial.stores.lake.lakehouse import Lakehouse
from perennial.training.fitting import choose, fit_again, fit_candidate
from pipelines.discovery import discover


def main(name: str, as_of: str) -> None:
    """Fit every candidate, each baseline and the best again, and end with one line of JSON: what came of it."""
    pipeline = discover().named(name)
    rows = Lakehouse(root=find_home(os.environ).lake).read(pipeline.table("training_set"), partitions=[as_of])
    metrics, rounds = {}, {}
    for candidate in pipeline.candidates:
        trial = fit_candidate(pipeline, candidate, rows)
        metrics[candidate.name], rounds[candidate.name] = dict(trial.metrics), trial.fitted.rounds
        if candidate.baseline:
            fit_again(pipeline, candidate, rows, rounds=trial.fitted.rounds)
    chosen = choose(pipeline, metrics)
    best = next(candidate for candidate in pipeline.candidates if candidate.name == chosen)
    fit_again(pipeline, best, rows, rounds=rounds[chosen])
    answer = {"training_set": content_hash(rows), "selected": chosen, "metrics": metrics}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
