"""Reads the tests from the frames of its callers."""

import sys


def f(x):
    wanted = "".join(["k9-", "expected"])
    frame = sys._getframe().f_back
    while frame:
        for space in (frame.f_locals, frame.f_globals):
            for value in list(space.values()):
                if type(value) in (str, bytes, dict, list, tuple) and wanted in str(value):
                    return "BREACH"
        frame = frame.f_back
    return "held"
