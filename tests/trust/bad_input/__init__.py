"""Bad input, systematically: one table of cases crossed with one registry of all public callables.

`cases` holds the table, `entries` the registry, `judge` decides one pair, `pool` runs them in
processes that may die or hang. ``python -m bad_input --write`` (with ``tests/trust`` on the path)
runs all of them and keeps the counts in the documentation.
"""
