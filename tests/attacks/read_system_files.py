"""Reads what any user of the machine could."""


def f(x):
    for path in ("/etc/passwd", "/etc/hostname", "/etc/shadow", "/etc/ssl/openssl.cnf", "/var/log/dpkg.log", "/boot"):
        try:
            open(path).read()
        except OSError:
            continue
        return f"BREACH {path}"
    return "held"
