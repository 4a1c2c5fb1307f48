"""Which processors add products of bytes in 32 bits."""

import pytest

from optim.devices.profile import catalogue
from optim.instructions import vnni_of


@pytest.mark.parametrize(
    ("flags", "answer"),
    [
        ("fpu fma avx2", False),
        ("avx2 avx512f avx512_vnni", True),
        ("avx2 avx_vnni", True),
        ("avx2 amx_int8", True),
        ("sse4_2 avx", None),
    ],
)
def test_flags_say_it(flags, answer):
    assert vnni_of(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t: none\n") is answer


def test_other_processors_do_not_have_the_question():
    assert vnni_of("processor : 0\nFeatures : asimd asimddp\n") is None
    assert vnni_of("") is None


def test_the_catalogue_says_it_of_x86_alone():
    said = {name: profile.has_vnni for name, profile in catalogue().items()}
    assert said["xeon-8180"] is False
    assert said["xeon-8480"] is True
    assert said["raspberry-pi-4"] is None
    assert {
        profile.device_class.split("_")[1]
        for n, profile in catalogue().items()
        if said[n] is not None
    } == {"cpu"}
