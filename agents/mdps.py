"""Small Markov decision processes whose optimal average reward is known, to check learners against."""

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TabularMdp:
    """Hold a finite continuing MDP.

    transitions: (states, actions, states), rows sum to one. rewards: (states, actions), in the MDP's own unit.
    """

    transitions: Floats
    rewards: Floats


def access_control(
    servers: int = 10,
    free_probability: float = 0.06,
    priorities: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0),
) -> TabularMdp:
    """Build the access-control queue: state = free servers x priority, actions reject and accept.

    Busy servers are freed before the decision takes effect; rewards are expectations over that. Source: Sutton and
    Barto 2018, example 10.2, in the form of Wan, Naik and Sutton, arXiv 2006.16318.
    """
    kinds = len(priorities)
    states = (servers + 1) * kinds
    transitions = np.zeros((states, 2, states))
    rewards = np.zeros((states, 2))
    for free in range(servers + 1):
        busy = servers - free
        for released in range(busy + 1):
            share = comb(busy, released) * free_probability**released * (1 - free_probability) ** (busy - released)
            available = free + released
            for kind, priority in enumerate(priorities):
                for action in (0, 1):
                    taken = 1 if action == 1 and available > 0 else 0
                    state = free * kinds + kind
                    after = (available - taken) * kinds
                    rewards[state, action] += share * priority * taken
                    transitions[state, action, after : after + kinds] += share / kinds
    return TabularMdp(transitions, rewards)


def regime_trading(cost: float) -> TabularMdp:
    """Build a three-regime market: state = regime x position (-1, 0, 1), actions hold, buy one, sell one.

    Rewards and cost (per unit traded) are in basis points a step.
    """
    drift = (-10.0, 0.0, 12.0)
    switching = np.array([[0.90, 0.08, 0.02], [0.05, 0.90, 0.05], [0.02, 0.08, 0.90]])
    transitions = np.zeros((9, 3, 9))
    rewards = np.zeros((9, 3))
    for regime in range(3):
        for position in (-1, 0, 1):
            for action, change in enumerate((0, 1, -1)):
                held = min(1, max(-1, position + change))
                state = regime * 3 + position + 1
                rewards[state, action] = drift[regime] * held - cost * abs(held - position)
                transitions[state, action, held + 1 :: 3] = switching[regime]
    return TabularMdp(transitions, rewards)


def optimal_gain(mdp: TabularMdp, tolerance: float = 1e-10, sweeps: int = 1_000_000) -> float:
    """Return the optimal average reward a step, within `tolerance`.

    Relative value iteration on the aperiodic chain (P + I) / 2 (Puterman 1994, 8.5.4), which also holds for
    multichain policies, where policy iteration by least squares does not.
    """
    states = mdp.rewards.shape[0]
    values = np.zeros(states)
    for _ in range(sweeps):
        backed_up = (mdp.rewards + mdp.transitions @ values).max(axis=1)
        change = (backed_up - values) / 2
        if np.ptp(change) < tolerance:
            return float(change.max() + change.min())
        values = values + change - change[0]
    return float("nan")


def policy_gain(mdp: TabularMdp, policy: NDArray[np.int64]) -> float:
    """Return the smallest long-run average reward of a deterministic policy over all start states.

    policy: (states,) of action indices.
    """
    rows = np.arange(len(policy))
    chain = (mdp.transitions[rows, policy] + np.eye(len(policy))) / 2
    for _ in range(40):
        chain = chain @ chain
        chain /= chain.sum(axis=1, keepdims=True)
    return float((chain @ mdp.rewards[rows, policy]).min())


class MdpEnv:
    """Step many independent copies of a tabular MDP at once; an observation is the state's one-hot vector."""

    def __init__(self, mdp: TabularMdp, rows: int, seed: int) -> None:
        """Start `rows` copies in random states."""
        self.actions = mdp.rewards.shape[1]
        self.inputs = mdp.rewards.shape[0]
        self.rewards = mdp.rewards
        self.cumulative = mdp.transitions.cumsum(axis=2)
        self.random = np.random.default_rng(seed)
        self.states = self.random.integers(self.inputs, size=rows)

    def observe(self) -> Floats:
        """Return the observations, (rows, states)."""
        encoded: Floats = np.eye(self.inputs)[self.states]
        return encoded

    def step(self, actions: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Apply one action a row and return (rewards, successor observations)."""
        rewards: Floats = self.rewards[self.states, actions]
        draws = self.random.random(len(self.states))[:, None]
        reached = (self.cumulative[self.states, actions] < draws).sum(axis=1)
        self.states = np.minimum(reached, self.inputs - 1)
        return rewards, self.observe()
