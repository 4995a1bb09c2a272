"""
Values that a step hands over to the next one, which waits for as few operations as possible.

A loop of short steps takes as long as its operations wait for each other on the way from state to state. What a step
stores may be computed beside that way. `maximum(x, 0)` takes one instruction if `x` is no NaN, and several otherwise.
So the next step takes the value of the one instruction, and stored is the value of `maximum`. A NaN among stored states
ends the loop: what follows it does not matter.
"""

from __future__ import annotations

import numpy as np

from ..graph import Block
from .products import Products
from .text import LIMITS, Operand, Register


class Handed(Products):
    """
    What steps hand over.

    Attributes
    ----------
    handed : dict
        Registers that the next step takes in place of those of nodes.
    following : set of int
        Nodes of the next state, if steps of one sequence follow each other, with one array as their state.
    """

    handed: dict[int, Register]
    following: set[int]

    def _handed(self, node: int) -> Register:
        """What the next step takes as the value of a node."""
        if node in self.handed:
            return self.handed[node]
        block, found = self.layout.block(node), ""
        if self.following and self.layout.is_scalar(block) and block.dtype.kind == "f":
            if block.operation in LIMITS:
                found = self._limit_of_numbers(node, block)
            elif block.operation == "where":
                condition, one, other = self._operands(node, block)
                values = self._handed(one), self._handed(other)
                if values != (self.value(one), self.value(other)):
                    found = Operand(self.text, block.dtype, 1).choose(self.value(condition), *values)
        self.handed[node] = found or self.value(node)
        return self.handed[node]

    def _limit_of_numbers(self, node: int, block: Block) -> Register:
        """`maximum` or `minimum` of a value that is no NaN; "" if there is nothing to gain."""
        if not self._are_numbers(block.operands[1]) or not self._of_zeros(block):
            return ""
        write, (x, limit) = Operand(self.text, block.dtype, 1), map(self.value, self._operands(node, block))
        return write.choose(write.compare(LIMITS[block.operation][0], x, limit), x, limit)

    def _operands(self, node: int, block: Block) -> list[int]:
        return [int(np.ravel(ids)[node - block.first]) for ids in block.operands]
