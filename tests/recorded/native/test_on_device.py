"""Solvers of members by threads of a device, which this processor plays: every member as alone, whoever runs it."""

import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from assembled import assembled
from device_kernels import calls, needs_libdevice
from scipy.integrate import solve_ivp
from thread_launcher import HostLauncher

from parscan._recorded.linearised import linearised
from parscan._recorded.native import on_device
from parscan._recorded.native.device import KNOWN, ptx
from parscan._recorded.native.ensemble import integrate_members
from parscan._recorded.native.explicit import Explicit, explicit
from parscan._recorded.native.members import NOTHING, Form
from parscan._recorded.native.rosenbrock import Rosenbrock, rosenbrock
from parscan._recorded.native.status import Status
from parscan._recorded.native.text import UnsupportedError
from parscan._recorded.native.thread_text import thread_code
from parscan._recorded.record import record
from parscan._recorded.single import in_single


def van_der_pol(t, y, mu, push):
    return np.array([y[1], mu * (1 - y[0] ** 2) * y[1] - y[0] + push[0] * np.sin(push[1] * t)])


PUSH = np.array([0.3, 2.0])
RECORDING = record(van_der_pol, [np.zeros(()), np.zeros(2), np.zeros(()), np.zeros(2)])
LINEARISED = linearised(RECORDING)
ON_CPU = [partial(explicit, RECORDING.program), partial(rosenbrock, RECORDING.program, LINEARISED)]
OF_BOTH = {"parameters": None, "shared": (False, True), "rtol": 1e-7, "atol": 1e-8}


def on(launcher, attempts=None):
    """The solvers by threads of a launcher, with so many attempts of steps in the first launch."""

    def make(maker, *given):
        def of(form):
            found = maker(*given, Form(**{**vars(form), "lanes": 1}), launcher)
            found.attempts = attempts or found.attempts
            return found

        return of

    program = RECORDING.program
    return [make(on_device.explicit, program), make(on_device.rosenbrock, program, LINEARISED)]


def problem(count):
    """Members from slow to stiff, in a mixed order, with begins, ends and times of their own."""
    rng = np.random.default_rng(0)
    mu = rng.permutation(np.geomspace(0.1, 300, count)) if count > 1 else np.array([5.0])
    y0 = np.array([2.0, 0.0]) + rng.uniform(-0.2, 0.2, (count, 2))
    begin, end = rng.uniform(0, 1, count), rng.uniform(8, 12, count)
    times = begin[:, None] + np.linspace(0, 1, 9) * (end - begin)[:, None]
    return (begin, end, y0), OF_BOTH | {"parameters": (mu, PUSH), "times": times}


def check_equal(one, other):
    for name in ("y", "t", "counts", "methods", "values"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("count", [1, 33, 1000])
def test_members_are_those_of_the_cpu(count):
    """With steps of their own, by the explicit method and then by the stiff one."""
    spans, given = problem(count)
    found = integrate_members(on(HostLauncher()), *spans, **given)
    expected = integrate_members(ON_CPU, *spans, lanes=1, **given)
    np.testing.assert_array_equal(found.counts[:, 0], Status.FINISHED)
    assert (found.methods == expected.methods).mean() > 0.99
    assert np.median(np.abs(found.counts - expected.counts)) == 0
    np.testing.assert_allclose(found.y, expected.y, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.values, expected.values, rtol=2e-4, atol=2e-4)
    assert np.median(np.abs(found.y - expected.y)) < 1e-12
    if count > 1:
        assert set(found.methods.tolist()) == {0, 1}


@pytest.mark.parametrize("order", ["reverse", "random"])
@pytest.mark.parametrize("threads", [1, 7, 1000])
def test_members_depend_neither_on_threads_nor_on_their_order(order, threads):
    """Fewer threads take one member after the other; a launch ends in the midst of steps."""
    spans, given = problem(33)
    whole = integrate_members(on(HostLauncher()), *spans, **given)
    check_equal(integrate_members(on(HostLauncher(threads, order), 5), *spans, **given), whole)


def test_every_member_is_as_alone():
    spans, given = problem(12)
    whole = integrate_members(on(HostLauncher()), *spans, **given)
    for k in range(12):
        some = slice(k, k + 1)
        own = {"parameters": (given["parameters"][0][some], PUSH), "times": given["times"][some]}
        one = integrate_members(on(HostLauncher()), *(array[some] for array in spans), **given | own)
        np.testing.assert_array_equal(one.y, whole.y[some])
        np.testing.assert_array_equal(one.values, whole.values[some])
        np.testing.assert_array_equal(one.counts, whole.counts[some])


def test_members_are_those_of_scipy():
    spans, given = problem(7)
    found = integrate_members(on(HostLauncher(order="random")), *spans, **given)
    for k, (begin, end, y0) in enumerate(zip(*spans, strict=True)):
        reference = solve_ivp(
            van_der_pol, (begin, end), y0, "Radau", t_eval=given["times"][k], args=(given["parameters"][0][k], PUSH),
            rtol=1e-10, atol=1e-10,
        )  # fmt: skip
        np.testing.assert_allclose(found.values[k], reference.y.T, rtol=2e-4, atol=2e-4)


def test_launches_and_reads():
    """One launch and one flag for each chunk of attempts, of any number of members; what was found once at the end."""
    for count in (3, 300):
        y0, launcher = np.tile([1.0, 0.0], (count, 1)), HostLauncher()
        solver = on_device.explicit(RECORDING.program, Form(shared=(True, True)), launcher)
        run = solver.start(0.0, 20.0, y0, rtol=1e-8, atol=1e-8, parameters=(0.5, PUSH))
        left = [run.advance(10)]
        while left[-1]:
            left.append(run.advance(10))
        assert launcher.launches == launcher.fetched == len(left)
        run.end()
        assert launcher.fetched == len(left) + 3
        attempts = run.counts[:, 1:3].sum(axis=1)
        assert len(left) == -(-attempts.max() // 10)
        assert set(left[:-1]) == {count}


def test_members_that_fail():
    """Values up to the failure, and NaN after it; other members are as they would be."""

    def fun(t, y, rate):
        return rate * y * y

    program = record(fun, [np.zeros(()), np.zeros(1), np.zeros(())]).program
    rate, times = np.array([0.1, 2.0, -1.0, 0.2, 1.25]), np.linspace(0, 1, 11)
    form = Form(shared=(False,), has_times=True, checks_polynomials=True)
    solver = on_device.explicit(program, form, HostLauncher())
    run = solver.start(0.0, 1.0, np.ones((5, 1)), rtol=1e-8, atol=1e-8, parameters=(rate,), times=times)
    while run.advance(50):
        pass
    run.end()
    exact, fails = 1 / (1 + 1e-12 - rate[:, None] * times), rate >= 1
    np.testing.assert_array_equal(run.counts[:, 0], np.where(fails, Status.STEP_TOO_SMALL, Status.FINISHED))
    np.testing.assert_allclose(run.t[fails], 1 / rate[fails], atol=1e-6)
    known = times < np.where(fails, 1 / rate - 0.05, 2.0)[:, None]
    np.testing.assert_allclose(run.values[..., 0][known], exact[known], rtol=1e-6)
    assert np.isnan(run.values[[1, 4], -1]).all()
    assert np.isfinite(run.values[[0, 2, 3]]).all()


def test_limits_on_steps():
    y0 = np.tile([1.0, 0.0], (5, 1))
    given = {"rtol": 1e-10, "atol": 1e-10, "parameters": (0.5, PUSH), "shared": (True, True)}
    solver = on_device.explicit(RECORDING.program, Form(shared=(True, True)), HostLauncher())
    run = solver.start(0.0, 50.0, y0, rtol=1e-10, atol=1e-10, parameters=(0.5, PUSH), most=17)
    while run.advance(1000):
        pass
    run.end()
    np.testing.assert_array_equal(run.counts[:, 0], Status.TOO_MANY_STEPS)
    np.testing.assert_array_equal(run.counts[:, 1:3].sum(axis=1), 17)
    longest = np.geomspace(0.01, 1, 5)
    found = integrate_members(on(HostLauncher()), 0.0, 2.0, y0, max_step=longest, first_step=longest / 2, **given)
    assert (found.counts[:, 1] >= 2 / longest).all()


def test_tolerances_of_members():
    """Shares of the tolerances, which are arrays of components."""
    y0, share = np.tile([1.0, 0.5], (4, 1)), np.array([1.0, 1e-2, 1e2, 1.0])
    given = {
        "rtol": np.array([1e-6, 1e-5]), "atol": np.array([1e-8, 1e-3]), "share": share, "parameters": (0.5, PUSH),
        "shared": (True, True),
    }  # fmt: skip
    found = integrate_members(on(HostLauncher()), 0.0, 5.0, y0, **given)
    expected = integrate_members(ON_CPU, 0.0, 5.0, y0, lanes=1, **given)
    np.testing.assert_array_equal(found.counts, expected.counts)
    np.testing.assert_allclose(found.y, expected.y, rtol=1e-12)
    assert found.counts[1, 1] > found.counts[0, 1] == found.counts[3, 1] > found.counts[2, 1]


def test_no_members_and_no_time():
    nothing = integrate_members(
        on(HostLauncher())[:1], 0.0, 1.0, np.ones((0, 2)), rtol=1e-6, atol=1e-6, parameters=(0.5, PUSH),
        shared=(True, True),
    )  # fmt: skip
    assert nothing.y.shape == (0, 2)
    found = integrate_members(
        on(HostLauncher()), 1.0, 1.0, np.ones((3, 2)), rtol=1e-6, atol=1e-6, parameters=(0.5, PUSH),
        shared=(True, True), times=np.array([1.0]),
    )  # fmt: skip
    np.testing.assert_array_equal(found.y, np.ones((3, 2)))
    np.testing.assert_array_equal(found.values, np.ones((3, 1, 2)))


def test_stretches_of_members():
    """The function jumps at a time of each member's own, where steps end."""

    def fun(t, y, at):
        return np.where(t < at, 1.0, -2.0) + 0 * y

    program = record(fun, [np.zeros(()), np.zeros(1), np.zeros(())]).program
    at = np.array([0.25, 0.5, 0.8])
    stretches = np.array([[[one, -np.inf, np.nextafter(one, 0)], [1.0, one, np.inf]] for one in at])
    solver = on_device.explicit(program, Form(shared=(False,), has_stretches=True), HostLauncher())
    run = solver.start(0.0, 1.0, np.zeros((3, 1)), rtol=1e-6, atol=1e-6, parameters=(at,), stretches=stretches)
    while run.advance(100):
        pass
    run.end()
    np.testing.assert_allclose(run.y[:, 0], at - 2 * (1 - at), rtol=1e-13)


def chain(n, is_full):
    """Diffusion along a chain with a reaction that is stiff, by a full Jacobian or one of three diagonals."""
    coupling = np.ones((n, n)) / n if is_full else np.eye(n, k=1) + np.eye(n, k=-1)

    def fun(t, y, rate):
        return rate * (coupling @ y - 2 * y) + np.cos(t) * y - y**3

    return fun


@pytest.mark.parametrize("n", [1, 3, 6, 12])
@pytest.mark.parametrize("is_full", [True, False])
def test_systems_of_the_stiff_method(n, is_full):
    """In registers, as full matrices with change of rows, and by their pattern."""
    recording = record(chain(n, is_full), [np.zeros(()), np.zeros(n), np.zeros(())])
    program, derived = recording.program, linearised(recording)
    form = Form(shared=(False,), has_times=True, checks_polynomials=True)
    rate, times = np.array([1.0, 1e3, 30.0]), np.linspace(0, 2, 5)
    given = {"rtol": 1e-6, "atol": 1e-8, "parameters": (rate,), "times": times}
    y0 = 1 + np.random.default_rng(0).random((3, n))
    run = on_device.rosenbrock(program, derived, form, HostLauncher()).start(0.0, 2.0, y0, **given)
    expected = rosenbrock(program, derived, form).start(0.0, 2.0, y0, **given)
    for one in (run, expected):
        while one.advance(100):
            pass
    run.end()
    np.testing.assert_array_equal(run.counts[:, 0], Status.FINISHED)
    assert np.abs(run.counts - expected.counts).max() <= 1
    np.testing.assert_allclose(run.y, expected.y, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(run.values, expected.values, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("n", [5, 9, 40])
def test_states_of_many_components(n):
    """Written out one by one, and in loops; the function is called."""
    recording = record(chain(n, False), [np.zeros(()), np.zeros(n), np.zeros(())])
    form = Form(shared=(False,), has_times=True, checks_polynomials=True)
    given = {"rtol": 1e-8, "atol": 1e-9, "parameters": (np.array([0.1, 2.0]),), "times": np.linspace(0, 2, 5)}
    y0 = 1 + np.random.default_rng(0).random((2, n))
    run = on_device.explicit(recording.program, form, HostLauncher()).start(0.0, 2.0, y0, **given)
    expected = explicit(recording.program, form).start(0.0, 2.0, y0, **given)
    for one in (run, expected):
        while one.advance(100):
            pass
    run.end()
    np.testing.assert_array_equal(run.counts, expected.counts)
    np.testing.assert_allclose(run.y, expected.y, rtol=1e-11)
    np.testing.assert_allclose(run.values, expected.values, rtol=1e-11)


def test_programs_that_differ_in_constants_share_a_text():
    def program(factor):
        return record(lambda t, y: factor * y, [np.zeros(()), np.ones(2)]).program

    ends = []
    solvers = [on_device.explicit(program(factor), Form(), HostLauncher()) for factor in (0.5, -1.0)]
    for solver in solvers:
        run = solver.start(0.0, 1.0, np.ones((2, 2)), rtol=1e-9, atol=1e-9)
        while run.advance(100):
            pass
        run.end()
        ends.append(run.y[0, 0])
    assert solvers[0].code is solvers[1].code
    np.testing.assert_allclose(ends, np.exp([0.5, -1.0]), rtol=1e-8)


def test_a_state_too_large_for_a_thread():
    program = record(lambda t, y: -y, [np.zeros(()), np.ones(200)]).program
    with pytest.raises(UnsupportedError, match="bytes for each thread"):
        on_device.explicit(program, Form(), HostLauncher())


# Single precision


def rational(components, terms):
    """A function of some components, with as many divisions for each of them, and its derivatives."""

    def fun(t, y, k):
        z = y
        for _ in range(terms):
            z = z * (1.5 - z) / (1.0 + z * z) + k
        return z - np.roll(y, 1)

    recording = record(fun, [np.zeros(()), np.zeros(components), np.zeros(())])
    derived = linearised(recording)
    return in_single(recording.program), replace(derived, program=in_single(derived.program))


@pytest.mark.parametrize("method", [0, 1])
def test_marches_in_single_precision(method):
    """As those in double precision, but for rounding; what is found is in double precision."""
    mu, y0 = np.array([1.0, 4.0, 0.5], np.float32), np.tile(np.array([2.0, -0.5], np.float32), (3, 1))
    derived = replace(LINEARISED, program=in_single(LINEARISED.program))
    single = on_device.explicit, on_device.rosenbrock
    programs = [in_single(RECORDING.program), *[derived] * method]
    found = []
    for made in ((single[method], programs), (single[method], [RECORDING.program, *[LINEARISED] * method])):
        form = Form(shared=(False, True), has_times=True, checks_polynomials=True)
        run = made[0](*made[1], form, HostLauncher(order="random")).start(
            0.0, 6.0, y0.astype(float), rtol=1e-5, atol=1e-5, parameters=(mu, PUSH.astype(np.float32)),
            times=np.linspace(0.5, 6.0, 7),
        )  # fmt: skip
        while run.advance(100):
            pass
        run.end()
        assert (run.counts[:, 0] == Status.FINISHED).all()
        assert run.y.dtype == run.values.dtype == np.float64
        found.append(run)
    one, other = found
    assert (one.y != other.y).all()
    np.testing.assert_array_equal(one.y, one.y.astype(np.float32))
    np.testing.assert_allclose(one.y, other.y, rtol=3e-4, atol=3e-4)
    np.testing.assert_allclose(one.values, other.values, rtol=1e-3, atol=1e-3)
    assert np.abs(one.counts[:, 1] - other.counts[:, 1]).max() <= 0.2 * other.counts[:, 1].max()


@needs_libdevice
@pytest.mark.parametrize("has_times", [False, True])
@pytest.mark.parametrize("method", [0, 1])
def test_single_precision_has_few_doubles(method, has_times):
    """As many for any function and number of components: those of the time and of the length of steps."""
    form, counts = Form(shared=(False,), has_times=has_times, checks_polynomials=has_times), []
    for components, terms in ((2, 1), (2, 20), (3, 6)):
        program, derived = rational(components, terms)
        write = partial(Rosenbrock, program, derived, form) if method else partial(Explicit, program, form)
        text = ptx(thread_code(write).kernel, (9, 0))
        counts.append(len(re.findall(r"^\s(?:add|sub|mul|div|fma|rcp|sqrt)\S*\.f64", text, re.MULTILINE)))
        assert len(re.findall(r"^\s(?:add|sub|mul|div|fma|rcp|sqrt)\S*\.f32", text, re.MULTILINE)) > 300
    assert max(counts) <= 150
    assert max(counts) - min(counts) <= 4


# PTX and machine code

WRITERS = {
    "DOP853": partial(Explicit, RECORDING.program),
    "Rodas5P": partial(Rosenbrock, RECORDING.program, LINEARISED),
}


QUICK = (7, 5), (9, 0), (12, 0)
"""Architectures of every run of the tests."""


def code_of(method, *, has_times=True):
    form = Form(shared=(False, True), log=NOTHING, has_times=has_times, checks_polynomials=has_times)
    return thread_code(partial(WRITERS[method], form))


@needs_libdevice
@pytest.mark.parametrize(
    "capability", [one if one in QUICK else pytest.param(one, marks=pytest.mark.slow) for one in KNOWN]
)
def test_machine_code_of_all_architectures(capability):
    text = ptx(code_of("Rodas5P" if capability[1] else "DOP853").kernel, capability)
    assert not calls(text)
    assert assembled(text, capability).registers <= 255


@needs_libdevice
@pytest.mark.parametrize("method", WRITERS)
def test_registers(method):
    """The march itself spills nothing; what is done once for each member may."""
    code = code_of(method)
    found = assembled(ptx(code.kernel, (9, 0)), (9, 0))
    assert found.registers <= 200
    assert found.spills.get("parscan_kernel", 0) == 0
    assert found.stack <= 8 * code.words + 256
    assert 8 * code.words <= 2000
    fields = code.driver.fields.all
    assert "parameter 0" in fields  # beside the state, while a member is marched
    assert "parameter 1" not in fields  # which all share


@needs_libdevice
def test_registers_of_a_function_with_calls():
    """Four components, and as many sines, fourteen times in a step with its polynomial."""
    program = record(lambda t, y: np.sin(np.roll(y, 1) - y) - 0.1 * y, [np.zeros(()), np.zeros(4)]).program
    form = Form(has_times=True, checks_polynomials=True)
    text = ptx(thread_code(partial(Explicit, program, form)).kernel, (9, 0))
    assert assembled(text, (9, 0)).spills.get("parscan_kernel", 0) == 0
    assert len(re.findall(r"ld\.local", text)) < 200
