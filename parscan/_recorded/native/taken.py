"""LLVM's text of what takes the arguments of a march from Python: numbers, and a list or tuple of them."""

from __future__ import annotations

from .builtin import Fields

EXACT = 2.0**53
"""Integers below this size are floats as well."""

NO_STATE = 0x7FF8_0000_70AD_0001
"""The bits of a NaN that no state begins with."""


def taking(name: str, fields: Fields, begin: int) -> str:
    """
    The function `i64 (ptr task, ptr arguments, i64 count)`: writes numbers to memory.

    It takes the arguments from number `begin` on. The first one of these has the last numbers, as a list or a tuple of
    floats, and integers that are as good as floats; the others are the numbers before. It returns 1 if these are the
    numbers that the memory had, 2 if they are others, 0 if the first argument is anything else, and -1 if there is an
    error. After 0, which says that the call will be repeated with the same numbers in a list, the memory still has the
    numbers before, or else such as no list has; after -1, some of the numbers may be written.

    Parameters
    ----------
    name : str
    fields : Fields
        Of the task: `numbers` is the address of the numbers, `before` is how many stand before those of the list, and
        `n` is the number of these. `float`, `double`, which is NumPy's, `int`, `list` and `tuple` are the types.
    begin : int
    """
    return "\n".join([
        f"define internal i64 @{name}(ptr %task, ptr %arguments, i64 %count) {{",
        "entry:",
        *fields.loads("numbers", "before", "n", "float", "double", "int", "list", "tuple"),
        "  %other = alloca i64",
        "  store i64 0, ptr %other",
        f"  %wanted = add i64 %before, {begin + 1}",
        "  %fits = icmp eq i64 %count, %wanted",
        "  br i1 %fits, label %which, label %refuse",
        "which:",
        f"  %start_at = getelementptr ptr, ptr %arguments, i64 {begin}",
        "  %start = load ptr, ptr %start_at",
        "  %kind = call ptr @PyObject_Type(ptr %start)",
        "  call void @Py_DecRef(ptr %kind)",
        "  %is_list = icmp eq ptr %kind, %list",
        "  %is_tuple = icmp eq ptr %kind, %tuple",
        "  %is_either = or i1 %is_list, %is_tuple",
        "  br i1 %is_either, label %size, label %unusual",
        "size:",
        "  %length = call i64 @PySequence_Size(ptr %start)",
        "  %is_long = icmp eq i64 %length, %n",
        "  br i1 %is_long, label %parameters, label %unusual",
        "parameters:",
        "  %k = phi i64 [ 0, %size ], [ %next, %parameter ]",
        "  %some = icmp slt i64 %k, %before",
        "  br i1 %some, label %parameter, label %taken",
        "parameter:",
        f"  %number = add i64 %k, {begin + 1}",
        "  %argument_at = getelementptr ptr, ptr %arguments, i64 %number",
        "  %argument = load ptr, ptr %argument_at",
        "  %value = call double @PyFloat_AsDouble(ptr %argument)",
        "  call void @write(ptr %numbers, i64 %k, double %value, ptr %other)",
        "  %next = add i64 %k, 1",
        "  br label %parameters",
        "taken:",
        "  %error = call ptr @PyErr_Occurred()",
        "  %good = icmp eq ptr %error, null",
        "  br i1 %good, label %states, label %refuse",
        "states:",
        "  %j = phi i64 [ 0, %taken ], [ %following, %keep ]",
        "  %more = icmp slt i64 %j, %n",
        "  br i1 %more, label %state, label %end",
        "state:",
        "  %item = call ptr @PySequence_GetItem(ptr %start, i64 %j)",
        "  %there = icmp ne ptr %item, null",
        "  br i1 %there, label %type, label %refuse",
        "type:",
        "  %sort = call ptr @PyObject_Type(ptr %item)",
        "  call void @Py_DecRef(ptr %sort)",
        "  %is_of_python = icmp eq ptr %sort, %float",
        "  %is_of_numpy = icmp eq ptr %sort, %double",
        "  %is_float = or i1 %is_of_python, %is_of_numpy",
        "  %is_int = icmp eq ptr %sort, %int",
        "  %is_number = or i1 %is_float, %is_int",
        "  br i1 %is_number, label %convert, label %drop",
        "drop:",
        "  call void @Py_DecRef(ptr %item)",
        "  br label %forget",
        "convert:",
        "  %real = call double @PyFloat_AsDouble(ptr %item)",
        "  call void @Py_DecRef(ptr %item)",
        "  %size_of = call double @llvm.fabs.f64(double %real)",
        f"  %is_small = fcmp olt double %size_of, {EXACT:.1f}",
        "  %is_exact = or i1 %is_float, %is_small",
        "  br i1 %is_exact, label %check, label %overflow",
        "check:",
        "  %is_minus = fcmp oeq double %real, -1.0",
        "  br i1 %is_minus, label %look, label %keep",
        "look:",
        "  %fails = call ptr @PyErr_Occurred()",
        "  %is_right = icmp eq ptr %fails, null",
        "  br i1 %is_right, label %keep, label %overflow",
        "keep:",
        "  %place = add i64 %before, %j",
        "  call void @write(ptr %numbers, i64 %place, double %real, ptr %other)",
        "  %following = add i64 %j, 1",
        "  br label %states",
        "overflow:",
        "  call void @PyErr_Clear()",
        "  br label %forget",
        "forget:",
        "  %first = getelementptr double, ptr %numbers, i64 %before",
        f"  store i64 {NO_STATE}, ptr %first",
        "  br label %unusual",
        "end:",
        "  %changed = load i64, ptr %other",
        "  %is_other = icmp ne i64 %changed, 0",
        "  %outcome = select i1 %is_other, i64 2, i64 1",
        "  ret i64 %outcome",
        "unusual:",
        "  ret i64 0",
        "refuse:",
        "  ret i64 -1",
        "}",
        "define internal void @write(ptr %given, i64 %k, double %value, ptr %other) alwaysinline {",
        "entry:",
        "  %place = getelementptr double, ptr %given, i64 %k",
        "  %old = load i64, ptr %place",
        "  %new = bitcast double %value to i64",
        "  %apart = xor i64 %old, %new",
        "  %before = load i64, ptr %other",
        "  %after = or i64 %before, %apart",
        "  store i64 %after, ptr %other",
        "  store double %value, ptr %place",
        "  ret void",
        "}",
        "",
    ])  # fmt: skip
