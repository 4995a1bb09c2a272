"""When `auto` takes machine code: time of solves pays for it, and nothing that the user wrote loses by it."""

import sys
from functools import partial, wraps

import numpy as np
import pytest
from ode_problems import pendulum

from parscan import solve_ivp
from parscan._ivp.compiled import account as accounts
from parscan._ivp.compiled.account import Account, Prices, account_of
from parscan._ivp.compiled.offer import Overtaken, Purchase
from parscan._recorded.budget import UnpaidError
from parscan.warnings import NondeterministicFunctionWarning


def oscillator(t, y, rate=1.0):
    return [rate * y[1], -rate * y[0]]


def solve(fun=oscillator, span=(0, 5), y0=(1.0, 0.0), **options):
    return solve_ivp(fun, span, y0, **{"rtol": 1e-6, "atol": 1e-8, **options})


@pytest.fixture
def shop(road, monkeypatch):
    """Function that sets the price of machine code."""

    def shop(share, loading=0.0):
        monkeypatch.setattr(accounts, "PRICES", Prices(loading=loading, share=share))

    return shop


@pytest.fixture
def timed(monkeypatch):
    """Time as offers see it: `tick` seconds pass whenever they look at the clock, at every report of a method."""

    class Clock:
        now, tick = 0.0, 0.0

        def look(self):
            self.now += self.tick
            return self.now

    clock = Clock()
    monkeypatch.setattr("parscan._ivp.compiled.offer.time.perf_counter", clock.look)
    return clock


def test_what_is_free_is_taken_at_once(shop):
    shop(share=0.0)
    sol = solve()
    assert sol.compiled
    assert sol.decisions == ()
    assert np.allclose(sol.y[:, -1], [np.cos(5), -np.sin(5)], atol=1e-7)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"jac": [[0.0, 1.0], [-1.0, 0.0]]}, "`jac` was given"),
        ({"y0": np.ones((2, 3)), "dense_output": True}, "with `dense_output`"),
    ],
    ids=["jac", "batch"],
)
def test_what_auto_does_not_try_says_why(shop, given, reason):
    shop(share=0.0)
    sol = solve(**given)
    assert not sol.compiled
    assert reason in sol.decisions[0]


def test_batches(shop):
    shop(share=0.0)
    rate = np.linspace(1.0, 2.0, 30)
    sol = solve(y0=np.ones((2, 30)), args=(rate,))
    assert sol.compiled
    np.testing.assert_allclose(sol.y[0, -1], np.cos(5 * rate) + np.sin(5 * rate), atol=1e-5)


@pytest.mark.parametrize(
    "given",
    [{"compile": False}, {"method": "RK45"}, {"lband": 1, "uband": 1},
     {"lband": 1, "uband": 1, "min_step": 1e-9}],
    ids=lambda given: next(iter(given)),
)  # fmt: skip
def test_methods_of_scipy_and_their_options_are_as_before(shop, given):
    shop(share=0.0)
    sol = solve(**given)
    assert not sol.compiled
    assert sol.decisions == ()


@pytest.mark.parametrize(
    "given",
    [{"method": "Radau"}, {"mesh": np.linspace(0, 5, 30)}, {"stages": 3}, {"window": 20}],
    ids=lambda given: next(iter(given)),
)
@pytest.mark.parametrize("demanded", [True, None])
def test_meshes_take_code_too(shop, given, demanded):
    shop(share=0.0)
    sol = solve(**given, compile=demanded)
    assert sol.compiled
    assert sol.decisions == ()
    assert sol.method == "Radau"
    assert "machine code" in sol.message
    assert np.allclose(sol.y[:, -1], [np.cos(5), -np.sin(5)], atol=1e-6)


def test_meshes_that_pay_for_code_say_so(shop):
    shop(share=1e9)
    sol = solve(method="Radau")
    assert not sol.compiled
    assert "not yet taken as long" in sol.decisions[0]


@pytest.mark.parametrize(("share", "compiles"), [(1e9, None), (0.0, False)])
@pytest.mark.parametrize("method", ["Radau", "DOP853", "RK4"])
def test_newtons_method_says_that_it_takes_differences(shop, share, compiles, method):
    shop(share=share)
    told = "Newton's method takes Jacobians by differences of `fun`."
    assert told in solve(method=method, compile=compiles).decisions
    assert told not in solve(method=method, compile=compiles, jac=[[0.0, 1.0], [-1.0, 0.0]]).decisions


@pytest.mark.parametrize("method", ["Radau", "LSODA"])
def test_code_and_methods_of_scipy_take_no_such_differences(shop, method):
    shop(share=0.0)
    assert solve(method=method).decisions == ()


def test_a_guess_is_for_a_mesh(shop):
    shop(share=0.0)
    first = solve()
    sol = solve(guess=first)
    assert first.compiled
    assert sol.compiled
    assert sol.method == "Radau"
    assert sol.iterations <= 2


def test_solves_without_code_pay_for_it(timed, shop):
    shop(share=1.0)
    timed.tick = 1e-4
    found = [solve().compiled for _ in range(400)]
    assert not found[0]
    assert found[-1]
    assert found == sorted(found)  # once bought, it is used
    assert "not yet taken as long" in solve(lambda t, y: -y).decisions[0]


def test_long_solves_pay_before_they_end(timed, shop):
    shop(share=1.0)
    timed.tick, done = 1.0, []
    sol = solve(pendulum, (0, 50), progress=lambda progress: done.append(progress.done))
    assert sol.compiled
    assert len(done) > 1
    assert done == sorted(done)


def test_loading_is_paid_by_all_functions_together(road, monkeypatch):
    monkeypatch.setattr(accounts, "PRICES", Prices(loading=1.0, share=0.0))
    monkeypatch.setattr(accounts, "compiler_is_loaded", lambda: False)
    accounts.forget_accounts()
    one, other = Account(), Account()
    one.enter(0.4)
    assert other.lacks() == pytest.approx(0.6)
    other.enter(0.6)
    assert one.lacks() == 0
    monkeypatch.setattr(accounts, "compiler_is_loaded", lambda: True)
    assert Account().lacks() == 0


def test_where_the_other_methods_are_not_loaded_either_code_is_cheaper(shop, monkeypatch):
    monkeypatch.setattr(accounts, "PRICES", Prices())
    monkeypatch.setattr(accounts, "compiler_is_loaded", lambda: False)
    assert Account().lacks() > 0
    monkeypatch.delitem(sys.modules, "scipy.integrate")
    assert Account().lacks() == 0
    Account().pay("solver", 0.1, 0.0)


def test_what_was_bought_before_must_be_worth_it_in_every_solve(shop):
    shop(share=1.0)
    account = Account(saved=1.0, usual=0.01)
    account.pay("recording", 0.5, 0.0)
    account.prices["recording"] = 0.5
    with pytest.raises(UnpaidError):
        account.pay("recording", 0.5, 0.0)
    account.usual = 0.6
    account.pay("recording", 0.5, 0.0)
    account.close_purchase({"recording", "solver"}, 0.8)
    account.pay("recording", 0.5, 0.0)
    account.close_purchase({"recording"}, 0.8)  # all in all, calls take less time
    with pytest.raises(UnpaidError):
        account.pay("recording", 0.5, 0.0)
    account.close_purchase({"recording"}, 0.55)  # other work of the machine only adds
    account.pay("recording", 0.5, 0.0)


def test_a_function_object_that_is_solved_again_and_again_saves_for_its_own_recording(shop):
    """The price was paid for another closure with the same code; one that is solved once must be worth it alone."""
    shop(share=1.0)
    account = Account(prices={"recording": 0.5})

    def closure(t, y):
        return y

    def solves():
        """How many solves of 0.1 seconds come before the purchase."""
        for count in range(100):
            own = account.saving_of(partial(closure))
            try:
                account.pay("recording", 0.5, 0.0, own)
            except UnpaidError:
                account.enter(0.1, own)
            else:
                account.close_purchase({"recording"}, 0.5, own)
                return count
        return None

    assert solves() == 5
    assert solves() == 20  # its data change: it must be worth ever more
    account.saving_of(lambda t, y: y).seconds = 9.0  # of another object
    with pytest.raises(UnpaidError):
        account.pay("recording", 0.5, 0.0, account.saving_of(lambda t, y: y))


def test_the_second_of_two_closures_gets_code_too(shop, timed):
    shop(share=1.0)
    closures = [lambda t, y, rate=rate: [rate * y[1], -rate * y[0]] for rate in (1.0, 2.0)]
    timed.tick = 1e-4
    for closure in closures:
        assert [solve(closure).compiled for _ in range(400)][-1]


@pytest.mark.parametrize("kept", [True, False])
def test_what_objects_save_goes_with_them(kept):
    class Model:
        def rates(self, t, y):
            return y

    account, model = Account(), Model()
    account.saving_of(model.rates).seconds = 1.0
    if not kept:
        model = Model()
    assert account.saving_of(model.rates).seconds == (1.0 if kept else 0.0)
    assert account.saving_of(np.sin).seconds == 0.0


def offered(solve_by_code, account=None, shown=None):
    return Purchase(account or Account(wanted=0.0), solve_by_code, shown)


def test_a_function_without_code_is_not_tried_at_each_solve(shop):
    shop(share=1.0)
    calls = []

    def refused(t, y):
        if hasattr(y, "graph"):
            calls.append(t)
        return np.array([float(y[1]), -float(str(y[0]))])

    shop(share=0.0)
    found = [solve(refused) for _ in range(20)]
    assert not any(sol.compiled for sol in found)
    assert len(calls) <= 4
    assert all("`fun` is called: it " in sol.decisions[0] for sol in found)
    assert "test_offer.py" in found[-1].decisions[0]


def test_debts_are_paid_by_later_solves(timed, shop):
    from parscan._recorded.budget import NoCodeError

    shop(share=1.0)
    account, attempts = Account(wanted=0.0), []

    def refused(report):
        attempts.append(timed.now)
        timed.now += 1.0
        raise NoCodeError("is not to be recorded")

    offer = offered(refused, account)
    assert offer.is_due
    assert offer.at_once() is None
    assert offer.report is None
    for _ in range(23):
        timed.now += 1.0
        offer.settle()
        offer = offered(refused, account)
        assert not offer.is_due
    assert len(attempts) == 1
    timed.now += 2.0
    offer.settle()
    assert offered(refused, account).is_due


def test_progress_goes_on_where_code_takes_over(timed, shop):
    shop(share=1.0)
    shown = []

    def by_code(report):
        for done in (0.1, 0.3, 0.6, 1.0):
            report(done, method="DOP853", window=1)
        return "found"

    offer = offered(by_code, Account(wanted=2.0), lambda done, **facts: shown.append(done))
    offer.report(0.2, method="Radau", window=9)
    timed.now += 1.0
    offer.report(0.4, method="Radau", window=9)
    timed.now += 1.0
    with pytest.raises(Overtaken):
        offer.report(0.5, method="Radau", window=9)
    assert shown == [0.2, 0.4, 0.6, 1.0]


def test_where_code_fails_the_usual_methods_solve(shop):
    shop(share=0.0)
    sol = solve(lambda t, y: y**2, (0, 3), [1.0])
    assert not sol.success
    assert "Machine code of `fun` left the solution" in sol.message
    assert "Machine code of `fun` left the solution" in sol.decisions[0]


def test_a_function_with_a_memory_is_called(shop):
    shop(share=0.0)
    count = [0]

    def drifts(t, y):
        count[0] += 1
        return -y * (1 + 1e-3 * count[0])

    with pytest.warns(NondeterministicFunctionWarning):
        sol = solve(drifts, (0, 1), [1.0])
    assert not sol.compiled
    assert not sol.success


def test_faulty_code_is_withdrawn(shop, monkeypatch):
    shop(share=0.0)
    monkeypatch.setattr("parscan._ivp.compiled.recorded.Recorded.is_contradicted", lambda *_: True)
    sol = solve()
    assert not sol.compiled
    assert sol.success
    assert "other values than its recorded operations" in sol.decisions[0]


def test_accounts_are_of_what_the_user_wrote():
    def other(t, y):
        return oscillator(t, y)

    @wraps(oscillator)
    def wrapped(*args):
        return oscillator(*args)

    class Callable:
        def __call__(self, t, y):
            return y

    def of(fun, y0=(1.0, 0.0)):
        class Given:
            pass

        Given.fun, Given.y0 = staticmethod(fun), np.array(y0)
        return account_of(Given)

    assert of(oscillator) is of(wrapped) is of(partial(oscillator, rate=2.0))
    assert of(oscillator) is not of(other)
    assert of(oscillator) is not of(oscillator, (1.0, 0.0, 2.0))
    assert of(Callable()) is of(Callable())


def test_solves_of_fresh_closures_use_the_code(shop):
    shop(share=0.0)
    found = [solve(lambda t, y, rate=rate: [rate * y[1], -rate * y[0]]) for rate in (1.0, 2.0, 3.0)]
    assert all(sol.compiled for sol in found)
    assert np.allclose([sol.y[0, -1] for sol in found], np.cos([5, 10, 15]), atol=1e-6)


def test_events_that_contradict_themselves_are_told(shop):
    shop(share=0.0)
    calls = [0]

    def event(t, y):
        calls[0] += 1
        return y[0] - 1e-3 * calls[0]

    with pytest.warns(NondeterministicFunctionWarning):
        solve(pendulum, events=event)
