import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from world.chance import even, even_choice, even_normal

COUNTS = st.integers(1, 600)
SEEDS = st.integers(0, 1_000)


@given(count=COUNTS, seed=SEEDS)
def test_even_draws_fall_once_into_each_equal_part(count: int, seed: int) -> None:
    drawn = even(count, np.random.default_rng(seed))

    assert sorted(np.floor(drawn * count).astype(int).clip(0, count - 1)) == list(range(count))


@given(count=COUNTS, seed=SEEDS, shares=st.lists(st.floats(0.01, 1.0), min_size=1, max_size=12))
def test_even_choices_are_made_as_often_as_their_share_says(count: int, seed: int, shares: list[float]) -> None:
    wanted = np.array(shares) / sum(shares)
    drawn = even_choice(count, wanted, np.random.default_rng(seed))

    assert np.abs(np.bincount(drawn, minlength=len(shares)) - wanted * count).max() <= 2


@given(seed=SEEDS)
def test_even_normals_are_standard_normal(seed: int) -> None:
    drawn = even_normal(2_000, np.random.default_rng(seed))

    assert abs(drawn.mean()) < 0.1
    assert abs(drawn.std() - 1.0) < 0.1
