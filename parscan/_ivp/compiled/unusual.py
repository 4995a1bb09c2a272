"""Said by solves that cannot repeat an earlier one."""


class Unusual(Exception):  # noqa: N818 - it says what happened
    """Something is out of the ordinary."""
