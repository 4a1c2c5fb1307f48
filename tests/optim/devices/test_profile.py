import pytest

from optim.devices.profile import catalogue, device, load_profiles, read_profiles
from optim.errors import ConfigError

ENTRY = """
bench-board:
  title: Bench board
  device_class: sbc
  chip: Two cores
  cores: 2
  peak_tops: {fp32: 0.5}
  bandwidth_gb_s: 10
  runtimes: [{name: ONNX Runtime CPU, precisions: [fp32]}]
  sources: {Its manual: [cores, peak_tops, bandwidth_gb_s]}
"""


def test_the_catalogue_covers_what_models_run_on():
    classes = {profile.device_class for profile in catalogue().values()}
    assert len(catalogue()) >= 34
    assert classes >= {
        "cloud_gpu",
        "tpu",
        "server_cpu",
        "laptop_cpu",
        "laptop_npu",
        "phone_cpu",
        "phone_gpu",
        "phone_npu",
        "sbc",
        "sbc_gpu",
        "edge_tpu",
        "fpga",
        "mcu",
    }


def test_names_that_are_measured_are_given_once():
    measured = [profile.measured_as for profile in catalogue().values() if profile.measured_as]
    assert len(set(measured)) == len(measured)


@pytest.mark.parametrize("profile", catalogue().values(), ids=catalogue())
def test_lower_precision_is_never_slower(profile):
    rates = profile.peak_tops
    order = [rates[p] for p in ("fp32", "fp16", "int8") if p in rates]
    assert order == sorted(order)
    assert set(rates) <= {*profile.precisions, "fp32"}


@pytest.mark.parametrize("profile", catalogue().values(), ids=catalogue())
def test_microcontrollers_fit_on_a_chip(profile):
    if profile.device_class == "mcu" and profile.ram_bytes and profile.flash_bytes:
        assert profile.ram_bytes < profile.flash_bytes <= 16 * 2**20


def test_a_mac_is_two_operations():
    board = read_profiles(ENTRY)["bench-board"]
    assert board.macs_per_s("fp32") == 0.25e12
    assert board.macs_per_s("int8") is None


def test_what_is_missing_says_what_is_still_possible():
    board = read_profiles(ENTRY)["bench-board"]
    assert board.missing == ("ram_bytes", "process_nm")
    assert "no check of memory" in board.limits
    assert "still possible: roofline" in board.limits


def test_an_unknown_device_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match=r"raspberry-pi-4.*got 'abacus'"):
        device("abacus")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("cores: 2", "cores: -2", "bench-board.*cores.*greater than or equal to 1"),
        ("cores: 2", "cores: .nan", "bench-board.*cores"),
        ("fp32: 0.5", "fp32: .inf", "peak_tops.fp32"),
        ("fp32: 0.5", "fp33: 0.5", "peak_tops.fp33"),
        ("sbc", "toaster", "device_class"),
        ("[cores, peak_tops, bandwidth_gb_s]", "[cores]", "must be named under a source"),
        ("[cores, peak_tops, bandwidth_gb_s]", "[speed]", "sources names 'speed'"),
        ("bench-board:", "Bench/../board:", "small letters"),
        ("cores: 2", "colour: red", "colour"),
        ("cores: 2", "name: other", "its key is its name"),
    ],
)
def test_an_illegal_entry_names_device_and_field(old, new, message):
    with pytest.raises(ConfigError, match=message):
        read_profiles(ENTRY.replace(old, new))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1, 2]",
        "a: 1",
        "a: [",
        "a: &x {b: *x}",
        "a: " + "[" * 50,
        "a: !!python/object/apply:os.system [ls]",
        "x" * 300_000,
        "\n".join(f"d{n}: {{}}" for n in range(300)),
    ],
)
def test_hostile_text_is_refused_in_a_sentence(text):
    with pytest.raises(ConfigError, match=r"\."):
        read_profiles(text)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"'none\.yaml' cannot be read"):
        load_profiles(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_profiles(tmp_path / "binary.yaml")
