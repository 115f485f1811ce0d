"""Makes a million files and folders, deep ones too."""

import os


def f(x):
    made = 0
    try:
        for _ in range(2000):
            os.mkdir("d")
            os.chdir("d")
        for number in range(1_000_000):
            with open(str(number), "w"):
                made += 1
    except OSError:
        pass
    return "BREACH" if made == 1_000_000 else "held"
