"""Methods of `solve_ivp` that are parallel over time, from its own tables: what holds for all is tested on these."""

import pytest

from parscan._ivp.mesh.task import COLLOCATION, PARALLEL

ON_MESH = tuple(PARALLEL)
STEP_MAPS = tuple(name for name in ON_MESH if name not in COLLOCATION)
LIKE_SCIPYS = ("auto", *COLLOCATION)
"""Those that take SciPy's place: whatever it solves, they solve."""

ON_ANY_MESH = pytest.mark.filterwarnings("ignore::parscan.warnings.CoarseMeshWarning")
"""For tests of the equations that are solved on a mesh, whether it is fine enough for the tolerances or not."""

METHODS = pytest.mark.parametrize("method", LIKE_SCIPYS)
TIGHT = pytest.mark.parametrize(("method", "rtol"), [(method, 1e-7) for method in LIKE_SCIPYS])
ANY = pytest.mark.parametrize(("method", "rtol"), [("auto", 1e-3), *((method, 1e-7) for method in LIKE_SCIPYS)])
"""All ways to a solution: `auto` leaves loose tolerances to SciPy."""
