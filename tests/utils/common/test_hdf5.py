"""An HDF5 file of a stranger gives its own numbers and nothing of any other file."""

import io

import h5py
import numpy as np
import pytest

from utils.common.hdf5 import open_hdf5


def external_storage(file, secret):
    file.create_dataset("bias", (4,), "u1", external=[(str(secret), 0, 4)])


def external_link(file, secret):
    file["bias"] = h5py.ExternalLink(str(secret), "/secret")


def soft_link(file, secret):
    file["bias"] = h5py.SoftLink("/elsewhere")


def virtual(file, secret):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(str(secret), "secret", (4,))
    file.create_virtual_dataset("bias", layout)


def text(file, secret):
    file["bias"] = "text"


def own_group(file, secret):
    file["group/group"] = file.create_group("group")


def never_written(file, secret):
    file.create_dataset("bias", (2**40,), "f4", chunks=(2**10,))


HOSTILE = [external_storage, external_link, soft_link, virtual, text, own_group, never_written]


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("in_memory", [False, True])
def test_what_reaches_outside_or_claims_more_than_there_is_is_refused_before_it_is_read(tmp_path, hostile, in_memory):
    with h5py.File(tmp_path / "secret.h5", "w") as secret:
        secret["secret"] = np.float32([1, 2, 3, 4])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["good"] = np.zeros(3)
        hostile(file.create_group("layers"), tmp_path / "secret.h5")
    source = (tmp_path / "a.h5").read_bytes() if in_memory else tmp_path / "a.h5"
    with pytest.raises(ValueError, match=r"in it|larger than the file"), open_hdf5(source):
        pass


def test_plain_arrays_are_given(tmp_path):
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file["layers/a/0"] = np.arange(3)
    with open_hdf5(stream.getvalue()) as file:
        assert list(file["layers/a/0"]) == [0, 1, 2]
