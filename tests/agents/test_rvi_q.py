"""RVI Q-learning finds known optimal gains, tabular and deep, and repeats itself."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from agents.mdps import MdpEnv, TabularMdp, access_control, optimal_gain, policy_gain, regime_trading
from agents.rvi_q import Cancelled, RviQConfig, RviQLearner, learn, learn_tabular

ACCESS = access_control()
CHEAP, COSTLY = regime_trading(5), regime_trading(60)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("mdp", [ACCESS, CHEAP, COSTLY], ids=["access", "trading-5", "trading-60"])
def test_tabular_learning_finds_the_gain_and_a_policy_that_earns_it(mdp: TabularMdp, seed: int) -> None:
    optimum = optimal_gain(mdp)
    learned = learn_tabular(mdp, steps=20_000_000, seed=seed)
    assert learned.gain == pytest.approx(optimum, rel=0.015)
    assert policy_gain(mdp, learned.greedy()) >= 0.995 * optimum


# Buying at the largest position is holding: the costly market's tied actions are where a maximum over noise shows.
def test_one_table_overstates_the_gain_where_actions_tie_and_two_do_not() -> None:
    optimum = optimal_gain(COSTLY)
    one, two = (
        np.mean([learn_tabular(COSTLY, 4_000_000, seed, tables=tables).gain / optimum - 1 for seed in range(8)])
        for tables in (1, 2)
    )
    assert one > 0.025
    assert abs(two) < 0.015


def test_tabular_learning_has_not_converged_after_few_steps() -> None:
    learned = learn_tabular(ACCESS, steps=2_000, seed=0)
    assert learned.gain != pytest.approx(optimal_gain(ACCESS), rel=0.015)


def train_on_access(seed: int, steps: int = 3_000) -> RviQLearner:
    config = RviQConfig(steps=steps, epsilon=(1.0, 0.5), seed=seed)
    return learn(MdpEnv(ACCESS, rows=10, seed=seed), config, lambda features: features)


def greedy(learner: RviQLearner) -> NDArray[np.int64]:
    with torch.no_grad():
        actions: NDArray[np.int64] = learner.network(torch.eye(44)).argmax(dim=1).numpy()
    return actions


@pytest.mark.parametrize("seed", range(3))
def test_deep_learning_earns_nearly_the_optimal_gain_after_30000_transitions(seed: int) -> None:
    assert policy_gain(ACCESS, greedy(train_on_access(seed))) >= 0.985 * optimal_gain(ACCESS)


def test_an_untrained_network_does_not() -> None:
    untrained = RviQLearner(44, 2, RviQConfig(steps=1, seed=0))
    assert policy_gain(ACCESS, greedy(untrained)) < 0.985 * optimal_gain(ACCESS)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    first, again, other = (train_on_access(seed, steps=300).network.state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_training_leaves_global_random_state_and_threads_alone() -> None:
    threads, torch_state = torch.get_num_threads(), torch.get_rng_state()
    train_on_access(0, steps=250)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_training_reports_progress_and_stops_when_asked() -> None:
    seen: list[tuple[int, int]] = []
    config = RviQConfig(steps=1_000)
    env = MdpEnv(ACCESS, rows=4, seed=0)
    with pytest.raises(Cancelled):
        learn(env, config, lambda raw: raw, lambda step, steps: seen.append((step, steps)), lambda: len(seen) == 3)
    assert seen == [(0, 1000), (100, 1000), (200, 1000)]
