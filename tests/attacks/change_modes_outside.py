"""Changes mode, owner and times of what is not its own: Landlock alone would not mind."""

import os

KEPT = "/var/tmp/bon_hydra-kept"


def f(x):
    worked = []
    for name, way in {
        "chmod": lambda: os.chmod(KEPT, 0o777),
        "chmod of a read file": lambda: os.fchmod(os.open(os.__file__, os.O_RDONLY), 0o777),
        "chown": lambda: os.chown(KEPT, os.getuid(), os.getgid()),
        "utime": lambda: os.utime(KEPT, (0, 0)),
        "setxattr": lambda: os.setxattr(KEPT, "user.x", b"x"),
    }.items():
        try:
            way()
            worked.append(name)
        except OSError:
            pass
    return f"BREACH {worked}" if worked else "held"
