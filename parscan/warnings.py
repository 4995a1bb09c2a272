"""Warnings of parscan. Filters use their classes: ``warnings.simplefilter("ignore", parscan.warnings.X)``."""


class ParscanWarning(UserWarning):
    """Base of all warnings of parscan."""


class SlowConvergenceWarning(ParscanWarning):
    """A method that was chosen by name did not converge, or needed many iterations; the solution is still right.

    The text names the cause and a remedy.
    """


class NondeterministicStepWarning(ParscanWarning):
    """A step gave different values when it was evaluated again with the same arguments."""


class KernelCacheWarning(ParscanWarning):
    """Compiled kernels cannot be kept on disk, and are compiled again in each process; results are the same."""


class CoarseMeshWarning(ParscanWarning):
    """The estimated errors of a solution on a given mesh exceed the tolerances.

    The text gives their size, and a remedy.
    """


class NondeterministicFunctionWarning(ParscanWarning):
    """`fun`, `jac` or an event of `solve_ivp` gave a different value when it was called again with equal arguments."""


class JacobianWarning(ParscanWarning):
    """`jac` of `solve_ivp` is far too large to be the Jacobian of `fun`; differences of `fun` replace it."""


class DiscontinuousParameterWarning(ParscanWarning):
    """A parameter moves a jump of the function, or changes it too sharply: the gradient with respect to it is wrong."""


class StateJumpWarning(ParscanWarning):
    """
    The right-hand side jumps where the state crosses a threshold.

    Derivatives omit the motion of this crossing; or the solution does not contain the crossing, and derivatives do.
    """


class KinkWarning(ParscanWarning):
    """The right-hand side has kinks in the state at which the solution cannot get nodes; derivatives may be inexact."""


class PointByPointWarning(ParscanWarning):
    """A right-hand side cannot be called for many times at once, and is called for one time after the other."""
