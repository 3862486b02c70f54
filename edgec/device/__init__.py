"""The device on the desk: the firmware of an artifact, built with the target's compiler and run in an emulator.

`run` gives the bytes a device would give, and what they cost there; `trace` every operator's output.
"""

from edgec.device.runner import DeviceRun, run, trace

__all__ = ["DeviceRun", "run", "trace"]
