"""A captured step without the capture, for machines that have no GPU."""

from superdyn.training.graph import warm_up


class Uncaptured:
    """Calls the step at every replay, after the same warm-up."""

    def __init__(self, step, state):
        warm_up(step, state)
        self.step = step

    def replay(self, n_steps):
        for _ in range(n_steps):
            self.step()
