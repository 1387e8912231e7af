"""The devices of a run: which ones compute, and what none of them can do."""

from __future__ import annotations

from featstore.errors import DeviceError

MIN_IMAGES_PER_DEVICE = 2000
"""Images below which starting a process for a device costs more than it brings."""


def check_devices(device: str, *, engine: str, precision: str, nvjpeg: bool) -> None:
    """Refuse, before there is a store, what would be refused once there is one.

    Parameters
    ----------
    device, engine, precision, nvjpeg
        As `featstore.extract.extract` takes them.

    Raises
    ------
    DeviceError, MissingExtraError, UnknownNameError
        A device that is not there, or that cannot run this.
    """
    from featstore.engines.devices import find_devices
    from featstore.engines.factory import check_request

    for found in find_devices(device):
        check_request(engine, found, precision)
        if nvjpeg:
            from featstore.decoding.nvjpeg_decoder import require_cuda

            require_cuda(found)


def choose_devices(device: str, *, images: int, built: bool, share: tuple[int, int]) -> tuple[str, ...]:
    """The devices to compute on: several where they were named, or where there are several GPUs and images enough.

    Parameters
    ----------
    device, share
        As `featstore.extract.extract` takes them; a share of the images is computed on one device.
    images : int
        How many are to be computed.
    built : bool
        The network is there already, not only its name; other processes cannot build it then.

    Raises
    ------
    DeviceError
        Several devices were named for a network that is built already, or one is not there.
    UnknownNameError
        One is no device's name.
    """
    from featstore.engines.devices import find_devices

    devices = find_devices(device)
    named = "," in device
    if named and built:
        raise DeviceError(f"{device}: several devices take the name of a network, not one that is built already")
    if built or share != (0, 1) or (not named and images < MIN_IMAGES_PER_DEVICE * len(devices)):
        return devices[:1]
    return devices
