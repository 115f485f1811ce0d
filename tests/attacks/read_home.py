"""Lists the home folder and reads keys in it."""

import glob
import os
import pwd


def f(x):
    homes = {"/root", "/home", os.path.expanduser("~")}
    try:
        homes |= {entry.pw_dir for entry in pwd.getpwall()}
    except OSError:
        pass
    found = []
    for home in homes - {"/"}:
        try:
            # Where Python itself is installed below a home, a way to it shows, and nothing beside it.
            found += [name for name in os.listdir(home) if name not in (".pyenv", ".local", "miniconda3")]
        except OSError:
            pass
        for name in (".ssh", ".aws", ".bashrc", ".profile", ".netrc"):
            try:
                found.append(open(os.path.join(home, name)).read())
            except OSError:
                found += glob.glob(os.path.join(home, name, "*"))
    return f"BREACH {found}" if found else "held"
