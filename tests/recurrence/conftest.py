"""Tests of recurrences find the compiler loaded: whether it is depends on no test that ran before."""

import parscan._recorded.native.compilation  # noqa: F401
