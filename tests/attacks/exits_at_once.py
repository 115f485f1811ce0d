"""Ends with exit code 0 before a test has run."""

import os

os._exit(0)
