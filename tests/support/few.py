"""Few cases of a parametrised test that stand for all of them."""


def representatives(cases, number=None):
    """
    Indices of cases, each of them a dictionary of parameters: of so many, evenly among all; None: of cases in which
    every value of a parameter occurs, those with most new values first.
    """
    if number is not None:
        number = min(number, len(cases))
        return {k * len(cases) // number for k in range(number)}
    values = [{(name, id(value)) for name, value in case.items()} for case in cases]
    seen, found = set(), set()
    for least in range(max(map(len, values), default=0), 0, -1):
        for k, own in enumerate(values):
            if len(own - seen) >= least:
                found.add(k)
                seen |= own
    return found
