"""The table of auto's decisions for differential equations."""

import numpy as np
import pytest

from parscan._ivp.arguments import as_problem
from parscan._ivp.choose import DECISIONS, MANY, WIDE, Workload, choose
from parscan._ivp.core.problem import LONG
from parscan._ivp.sequential.large_bdf import BDF
from parscan._ivp.sequential.large_rodas5p import Rodas5P


def work(
    method="auto", y0=(1.0,), span=(0.0, 1.0), rtol=1e-6, options=(), on_mesh=False, stacks=True, fun=lambda t, y: -y
):
    problem = as_problem(fun, span, np.array(y0), None, None, rtol, 1e-8, np.inf, jumps=None)
    given = options if isinstance(options, dict) else dict.fromkeys(options, 1)
    return Workload(method, problem, given, on_mesh, stacks=lambda: stacks)


def shifts(*places):
    """The pattern of a state whose components depend on others that are so far away."""
    return sum(np.eye(2000, k=place) for place in places)


CASES = {
    "a solver of SciPy's": (work("BDF"), "BDF", True),
    "Rodas5P by name": (work("Rodas5P"), Rodas5P, True),
    "a known band": (work(y0=np.ones(LONG), options=["lband"]), Rodas5P, True),
    "a known pattern": (work(y0=np.ones(2000), options={"jac_sparsity": shifts(-45, -1, 1, 45)}), BDF, True),
    "a pattern that is found": (work(y0=np.ones(LONG), fun=lambda t, y: 1e4 * (np.roll(y, 1) - y)), Rodas5P, True),
    "zeros of the Jacobian": (work(options=["jac_sparsity"]), "BDF", True),
    "no end": (work(span=(0.0, np.inf)), "Radau", True),
    "a method by name": (work("Gauss"), "Gauss", False),
    "a mesh": (work(on_mesh=True, rtol=1e-3), "Radau", False),
    "a wide batch": (work(y0=np.ones((1, WIDE))), "Radau", False),
    "a batch": (work(y0=np.ones((1, 2))), "Radau", False),
    "bands": (work(options=["lband"]), "LSODA", True),
    "loose": (work(rtol=1e-3), "LSODA", True),
    "many components": (work(y0=np.ones(MANY + 1)), "LSODA", True),
    "complex": (work(y0=[1.0 + 1j]), "DOP853", True),
    "one time after the other": (work(stacks=False), "LSODA", True),
    "the rest": (work(), "Radau", False),
}


@pytest.mark.parametrize("name", CASES)
def test_decisions(name):
    known, method, is_sequential = CASES[name]
    choice = choose(known)
    assert (choice.method, choice.is_sequential) == (method, is_sequential)
    assert choice.tries_ensemble == (name == "a wide batch")


def test_every_decision_is_taken_somewhere():
    taken = {next(k for k, decision in enumerate(DECISIONS) if decision.applies(case[0])) for case in CASES.values()}
    assert taken == set(range(len(DECISIONS)))


def test_fun_is_called_for_the_last_decision_only():
    def never():
        raise AssertionError("called")

    known = work(rtol=1e-3)
    assert choose(Workload("auto", known.problem, {}, on_mesh=False, stacks=never)).method == "LSODA"
