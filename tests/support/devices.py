"""Whether there is a CUDA device; where there is none, tests for devices run on a stand-in, at sizes that are cut."""


def count_devices():
    """CUDA devices that CuPy sees."""
    try:
        import cupy

        return cupy.cuda.runtime.getDeviceCount()
    except Exception:  # neither CuPy nor a driver need be there
        return 0


DEVICES = count_devices()


def cut(full, short):
    """A size on a device, and the one for the stand-in for it."""
    return full if DEVICES else short
