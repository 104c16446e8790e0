from __future__ import annotations

import numpy as np
import pytest
import torch

from perennial.errors import PerennialError
from perennial.evaluation.metrics import error
from perennial.training.candidates import Linear, NeuralNet


def test_keeps_the_best_epoch_and_stops_when_patience_ends(declare, any_objective, make_trips):
    rows, judged = make_trips(600), make_trips(300, seed=1)

    fitted = NeuralNet(epochs=60, patience=2, learning_rate=0.02, batch_size=128).fit(
        rows, judged, features=declare(rows.features), objective=any_objective, seed=0
    )

    assert fitted.curve is not None
    curve = fitted.curve.validation
    assert fitted.rounds == int(np.argmin(curve)) + 1
    assert len(curve) == fitted.rounds + 2 < 60
    kept = error(judged.label, fitted.predict(judged.features), metric=any_objective.metric)
    np.testing.assert_allclose(kept, min(curve), rtol=1e-4)


def test_fits_exactly_the_rounds_it_is_told(declare, objective, make_trips):
    rows, judged = make_trips(300), make_trips(100, seed=1)
    features = declare(rows.features)
    candidate = NeuralNet(epochs=6, patience=6)

    stopped = candidate.fit(rows, judged, features=features, objective=objective, seed=5)
    again = candidate.fit(rows, None, features=features, objective=objective, seed=5, rounds=stopped.rounds)

    assert again.rounds == stopped.rounds
    np.testing.assert_array_equal(again.predict(judged.features), stopped.predict(judged.features))


def test_learns_more_than_a_linear_model(declare, objective, make_trips):
    rows, judged = make_trips(4_000), make_trips(1_000, seed=1)
    features = declare(rows.features)

    errors = [
        error(
            judged.label,
            candidate.fit(rows, judged, features=features, objective=objective, seed=0).predict(judged.features),
            metric="mae",
        )
        for candidate in (NeuralNet(epochs=12, batch_size=128, learning_rate=5e-3), Linear())
    ]

    assert errors[0] < 0.85 * errors[1]


def test_a_loss_that_is_no_number_raises_with_a_hint(declare, any_objective, make_trips):
    rows = make_trips(100)

    with pytest.raises(PerennialError, match=r"neural_net: learning diverged.*Hint: lower learning_rate, now 1e\+30"):
        NeuralNet(learning_rate=1e30, batch_size=16).fit(
            rows, None, features=declare(rows.features), objective=any_objective, seed=0
        )


def test_leaves_the_threads_and_the_global_seed_of_torch_alone(declare, objective, make_trips):
    rows = make_trips(50)
    torch.manual_seed(42)
    state, threads = torch.get_rng_state(), torch.get_num_threads()

    NeuralNet(epochs=1).fit(rows, None, features=declare(rows.features), objective=objective, seed=0)

    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_another_seed_gives_another_net(declare, objective, make_trips):
    rows = make_trips(100)

    one, other = (
        NeuralNet(epochs=1)
        .fit(rows, None, features=declare(rows.features), objective=objective, seed=seed)
        .predict(rows.features)
        for seed in (0, 1)
    )

    assert not np.allclose(one, other)
