"""Recurrent networks that are linear recurrences given their inputs: outputs and gradients, by scans and by loops.

The strongly-typed RNN (Balduzzi and Ghifary 2016), the QRNN (Bradbury et al. 2017), the SRU (Lei et al. 2018), and the
GILR-LSTM (Martin and Cundy 2018): one scan forwards, one backwards for the gradient. --full: over a million steps.
"""

import sys
import time

import numpy as np

import parscan

N = 4  # channels of inputs and states
SIGMOID = (lambda v: 1 / (1 + np.exp(-v))), (lambda y: y * (1 - y))  # a function, and its slope by its value
TANH, LINEAR = (np.tanh, lambda y: 1 - y * y), (lambda v: v, np.ones_like)


def before(h):
    """The states before, zero at the start."""
    return np.concatenate([np.zeros_like(h[:1]), h[:-1]])


def loop(a, b, *, reverse=False):  # the sequential way
    states, h = np.empty_like(b), np.zeros_like(b[0])
    for t in range(len(b) - 1, -1, -1) if reverse else range(len(b)):
        states[t] = h = a[t] * h + b[t]
    return states


class _Tape(list):
    """Results with their operands, and what takes the gradient of a result back to the operands."""

    def note(self, result, operands, pull):
        self.append((result, operands, pull))
        return result

    def layer(self, x, W, function=SIGMOID):
        y = function[0](x @ W)
        return self.note(y, (x, W), lambda g: ((back := g * function[1](y)) @ W.T, x.T @ back))

    def mix(self, a, x, y):
        return self.note(a * x + (1 - a) * y, (a, x, y), lambda g: (g * (x - y), g * a, g * (1 - a)))

    def join(self, h, x):
        return self.note(np.hstack([before(h), x]), (h, x), lambda g: (before(g[::-1, :N])[::-1], g[:, N:]))

    def recurrence(self, scan, a, b):
        h, following = scan(a, b), before(a[::-1])[::-1]
        return self.note(h, (a, b), lambda g: ((back := scan(following, g, reverse=True)) * before(h), back))


def leaky(tape, scan, x, F, Z, function=LINEAR):
    """The strongly-typed RNN, h_t = f_t h_{t-1} + (1 - f_t) z_t with f = σ(x F) and z = x Z; part of the others."""
    f, z = tape.layer(x, F), tape.layer(x, Z, function)
    return tape.recurrence(scan, f, tape.mix(f, 0 * z, z))


def sru(tape, scan, x, F, Z, R):
    return tape.mix(tape.layer(x, R), tape.layer(leaky(tape, scan, x, F, Z), np.eye(N), TANH), x)


def qrnn(tape, scan, x, F, Z, R):
    h = leaky(tape, scan, x := tape.join(x, x), F, Z, TANH)  # a convolution over two steps
    return tape.mix(tape.layer(x, R), h, 0 * h)


def gilr_lstm(tape, scan, x, F, Z, R, E, G, S):
    x = tape.join(leaky(tape, scan, x, G, S, TANH), x)
    h = tape.recurrence(scan, tape.layer(x, F), tape.mix(tape.layer(x, E), z := tape.layer(x, Z, TANH), 0 * z))
    return tape.mix(tape.layer(x, R), h, 0 * h)


def evaluate(network, scan, x, g, weights):
    """Outputs, and the gradient of their sum with weights g."""
    output = network(tape := _Tape(), scan, x, *weights)
    found = {id(output): g}
    for result, operands, pull in reversed(tape):
        for operand, part in zip(operands, pull(found[id(result)]), strict=True):
            found[id(operand)] = found.get(id(operand), 0) + part
    return np.concatenate([output.ravel(), *(found[id(W)].ravel() for W in weights)])


def main(steps=20_000):
    """Compare the two ways on every network; returns by how much outputs and gradients differ."""
    apart, (x, g) = [], (rng := np.random.default_rng(3)).standard_normal((2, steps, N))
    for network, rows in ((leaky, "11"), (sru, "111"), (qrnn, "222"), (gilr_lstm, "222211")):
        weights, found, took = [rng.standard_normal((N * int(k), N)) / N for k in rows], {}, {}
        for scan in (parscan.linear_recurrence, loop, parscan.linear_recurrence):  # the first call loads the kernels
            begin = time.perf_counter()
            found[scan] = evaluate(network, scan, x, g, weights)
            took[scan] = time.perf_counter() - begin
        apart.append(float(np.max(np.abs(found[loop] - found[scan]) / (1 + np.abs(found[loop])))))
        print(f"{network.__name__:>9}: loops {took[loop]:.3f} s, parscan {took[loop] / took[scan]:.1f} times faster")
    return max(apart)


if __name__ == "__main__" and main(1_000_000 if "--full" in sys.argv else 20_000) > 1e-10:
    raise SystemExit("the two ways disagree")
