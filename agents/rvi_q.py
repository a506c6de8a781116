"""RVI Q-learning: average-reward control without a discount, tabular and with a network.

Source: Abounadi, Bertsekas and Borkar 2001, SIAM J. Control Optim. 40(3) 681-698. The offset f(Q) is the mean of
Q: a fixed reference pair that is rarely visited makes f wander (Wan, Naik and Sutton, arXiv 2006.16318). The tabular
learner keeps two tables (van Hasselt 2010, Double Q-learning, NIPS 23), without which f(Q) overstates the gain.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from agents.mdps import TabularMdp
from agents.networks import QNetwork

Floats = NDArray[np.float64]


class Cancelled(Exception):
    """Say that the caller asked the training to stop."""


@dataclass(frozen=True, slots=True)
class TabularResult:
    """Hold learned action values, (states, actions), and the mean of f(Q), the learned average reward a step."""

    q: Floats
    gain: float

    def greedy(self) -> NDArray[np.int64]:
        """Return the greedy action of every state."""
        actions: NDArray[np.int64] = self.q.argmax(axis=1)
        return actions


def _sweep(
    cumulative: Floats, rewards: Floats, steps: int, seed: int, step_size: float, half_life: float, tables: int
) -> tuple[Floats, float]:
    np.random.seed(seed)
    states, actions = rewards.shape
    q = np.zeros((tables, states, actions))
    visits = np.zeros((tables, states, actions))
    total = tail = 0.0
    state = 0
    for step in range(steps):
        mine = np.random.randint(tables)
        action = np.random.randint(actions)
        successor = min(states - 1, np.searchsorted(cumulative[state, action], np.random.random()))
        # Judged by its own table, the best action looks better than it is (van Hasselt 2010).
        best = q[tables - 1 - mine, successor, q[mine, successor].argmax()]
        rate = step_size / (1.0 + visits[mine, state, action] / half_life)
        change = rate * (rewards[state, action] - total / q.size + best - q[mine, state, action])
        q[mine, state, action] += change
        total += change
        visits[mine, state, action] += 1.0
        state = successor
        if step >= steps // 2:
            tail += total
    return q.sum(axis=0) / tables, tail / q.size / (steps - steps // 2)


_compiled_sweep = numba.njit(_sweep)


def learn_tabular(
    mdp: TabularMdp,
    steps: int,
    seed: int,
    step_size: float = 0.1,
    half_life: float = 100.0,
    tables: Literal[1, 2] = 2,
) -> TabularResult:
    """Learn an MDP's action values from `steps` uniformly explored transitions.

    The rate of a pair visited n times is step_size / (1 + n / half_life). Uniform exploration, because a greedy
    policy is only right in states that were visited. Each step updates one of two tables at random; Q is their mean,
    and the gain is f(Q) averaged over the second half of the steps. With one table f(Q) is biased upwards where
    actions tie: the maximum over noisy values of equal actions exceeds their true value.
    """
    cumulative = np.ascontiguousarray(mdp.transitions.cumsum(axis=2))
    q, gain = _compiled_sweep(cumulative, mdp.rewards, steps, seed, step_size, half_life, tables)
    return TabularResult(q, float(gain))


class ContinuingEnv(Protocol):
    """Describe many environment copies that never end; one row a copy."""

    actions: int
    inputs: int

    def observe(self) -> Floats:
        """Return the current observations, (rows, inputs)."""
        ...

    def step(self, actions: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Apply one action a row and return (rewards, successor observations) before any restart."""
        ...


@dataclass(frozen=True, slots=True)
class RviQConfig:
    """Hold the learner's settings; a step is one action in every row."""

    steps: int
    hidden: tuple[int, ...] = (64, 64)
    learning_rate: float = 1e-3
    batch: int = 128
    capacity: int = 100_000
    warm_up: int = 200
    updates: int = 1
    target_rate: float = 0.01
    offset_rate: float = 0.01
    epsilon: tuple[float, float] = (1.0, 0.2)
    seed: int = 0


class Replay:
    """Keep the last transitions in fixed arrays."""

    def __init__(self, capacity: int, inputs: int) -> None:
        """Reserve room for `capacity` transitions."""
        self.observations = torch.zeros((capacity, inputs))
        self.successors = torch.zeros((capacity, inputs))
        self.actions = torch.zeros(capacity, dtype=torch.int64)
        self.rewards = torch.zeros(capacity)
        self.capacity = capacity
        self.written = 0

    def add(
        self, observations: torch.Tensor, actions: torch.Tensor, rewards: torch.Tensor, successors: torch.Tensor
    ) -> None:
        """Store one transition a row, over the oldest ones."""
        places = torch.arange(self.written, self.written + len(actions)) % self.capacity
        self.observations[places] = observations
        self.actions[places] = actions
        self.rewards[places] = rewards
        self.successors[places] = successors
        self.written += len(actions)

    def sample(
        self, count: int, random: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Draw `count` transitions: (observations, actions, rewards, successors)."""
        places = torch.randint(min(self.written, self.capacity), (count,), generator=random)
        return self.observations[places], self.actions[places], self.rewards[places], self.successors[places]


class RviQLearner:
    """Learn Q with target r - f(Q') + max Q'(successor), where Q' is a slowly following copy of Q."""

    def __init__(self, inputs: int, actions: int, config: RviQConfig) -> None:
        """Start from random weights drawn from the config's seed."""
        layers = (inputs, *config.hidden, actions)
        self.config = config
        self.network = QNetwork(layers, seed=config.seed)
        self.target = QNetwork(layers, seed=config.seed)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=config.learning_rate)
        self.random = torch.Generator().manual_seed(config.seed)
        self.offset = 0.0

    def update(self, replay: Replay) -> float:
        """Take one gradient step on a sampled batch and return its loss."""
        observations, actions, rewards, successors = replay.sample(self.config.batch, self.random)
        with torch.no_grad():
            mean = float(self.target(observations).mean())
            self.offset += self.config.offset_rate * (mean - self.offset)
            targets = rewards - self.offset + self.target(successors).amax(dim=1)
        values = self.network(observations).gather(1, actions[:, None]).squeeze(1)
        loss = functional.mse_loss(values, targets)
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimiser.step()
        self._follow()
        return float(loss.detach())

    def _follow(self) -> None:
        with torch.no_grad():
            for slow, fast in zip(self.target.parameters(), self.network.parameters(), strict=True):
                slow.lerp_(fast, self.config.target_rate)

    def act(self, observations: torch.Tensor, epsilon: float) -> torch.Tensor:
        """Return one action a row: greedy, or uniform with probability epsilon."""
        with torch.no_grad():
            values = self.network(observations)
        chance = torch.rand(len(values), generator=self.random) < epsilon
        uniform = torch.randint(values.shape[1], (len(values),), generator=self.random)
        return torch.where(chance, uniform, values.argmax(dim=1))


def learn(
    env: ContinuingEnv,
    config: RviQConfig,
    prepare: Callable[[Floats], Floats],
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> RviQLearner:
    """Train a learner on an environment; `prepare` maps raw observations to network inputs.

    Deterministic for a seed: one torch thread, no global random state. Raises Cancelled when `cancelled()` is true.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _learn(env, config, prepare, progress, cancelled)
    finally:
        torch.set_num_threads(threads)


def _learn(
    env: ContinuingEnv,
    config: RviQConfig,
    prepare: Callable[[Floats], Floats],
    progress: Callable[[int, int], None] | None,
    cancelled: Callable[[], bool] | None,
) -> RviQLearner:
    learner = RviQLearner(env.inputs, env.actions, config)
    replay = Replay(config.capacity, env.inputs)
    high, low = config.epsilon
    for step in range(config.steps):
        if step % 100 == 0:
            if cancelled is not None and cancelled():
                raise Cancelled
            if progress is not None:
                progress(step, config.steps)
        observations = torch.as_tensor(prepare(env.observe()), dtype=torch.float32)
        actions = learner.act(observations, high + (low - high) * step / config.steps)
        rewards, successors = env.step(actions.numpy())
        following = torch.as_tensor(prepare(successors), dtype=torch.float32)
        replay.add(observations, actions, torch.as_tensor(rewards, dtype=torch.float32), following)
        if step >= config.warm_up:
            for _ in range(config.updates):
                learner.update(replay)
    if progress is not None:
        progress(config.steps, config.steps)
    return learner
