"""Queries: a row of a data set becomes something to ask."""
