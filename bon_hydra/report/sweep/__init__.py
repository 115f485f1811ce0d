"""What a sweep found: read from its record and its jobs' files, ranked, tabulated, drawn, compared.

`points` reads what there is; `ranking` says which points can't be told from the best; `rows` is `sweep.parquet`;
`table`, `plot` and `comparison` show it; `finish` does all of that at a sweep's end.
"""
