"""Runs become data sets that one can train on, in TRL's conventions."""
