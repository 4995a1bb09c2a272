"""Whether there is a CUDA device."""


def count_devices():
    """CUDA devices that CuPy sees."""
    try:
        import cupy

        return cupy.cuda.runtime.getDeviceCount()
    except Exception:  # neither CuPy nor a driver need be there
        return 0


DEVICES = count_devices()
