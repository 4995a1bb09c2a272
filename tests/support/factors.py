"""Factors of a test: all combinations of their values, or a few in which every pair of values of two factors occurs."""

from itertools import combinations, product

import pytest


def parameters(factors, whole):
    """Names and rows for `parametrize`; each factor is a list of values, or a dictionary of them with their ids."""
    tables = [factor if isinstance(factor, dict) else with_ids(factor) for factor in factors.values()]
    rows = list(product(*tables)) if whole else all_pairs([list(table) for table in tables])
    values = [[table[key] for table, key in zip(tables, row, strict=True)] for row in rows]
    return tuple(factors), [pytest.param(*value, id="-".join(row)) for value, row in zip(values, rows, strict=True)]


def with_ids(values):
    values = list(values)
    table = {getattr(value, "__name__", str(value)): value for value in values}
    assert len(table) == len(values), "values with the same id"
    return table


def all_pairs(factors):
    """Rows of one value for each factor. Each begins with a pair that occurs in none before it."""
    if len(factors) == 1:
        return list(product(*factors))
    missing = {pair for row in product(*factors) for pair in pairs(row)}
    rows = []
    while missing:
        rows.append(complete(min(missing, key=repr), factors, missing))
        missing -= pairs(rows[-1])
    return rows


def pairs(row):
    return set(combinations(enumerate(row), 2))


def complete(pair, factors, missing):
    """The row with this pair; of each further factor the value with most missing pairs with the values before it."""
    row = dict(pair)
    for k, values in enumerate(factors):
        if k not in row:
            new = [sum(tuple(sorted([(k, value), other])) in missing for other in row.items()) for value in values]
            row[k] = values[new.index(max(new))]
    return tuple(row[k] for k in range(len(factors)))
