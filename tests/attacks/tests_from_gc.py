"""Reads the tests from whatever the garbage collector knows."""

import gc


def f(x):
    wanted = "".join(["k9-", "expected"])
    for thing in gc.get_objects():
        if type(thing) in (dict, list, tuple):
            for value in list(thing.values()) if type(thing) is dict else thing:
                if type(value) in (str, bytes) and value is not wanted and wanted in str(value):
                    return f"BREACH {type(thing)}"
    return "held"
