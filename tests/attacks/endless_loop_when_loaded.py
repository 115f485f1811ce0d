"""Never finishes loading, and ignores the signal of the CPU limit."""

import signal

signal.signal(signal.SIGXCPU, signal.SIG_IGN)
while True:
    pass
