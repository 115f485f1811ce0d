"""What runs inside the sandbox: a zygote that forks, the judge that holds the tests, the candidate that runs a program.

This package is mounted alone into the sandbox, so it imports the standard library and its own modules, nothing else.
"""
