"""Whatever the context holds, reading it ends in settings or in lines that help."""

import ipaddress
import json

from hypothesis import given
from hypothesis import strategies as st

from gpustation.handlers import gpu_catalog
from gpustation.settings import Settings, read_settings

JSON_VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
KEYS = st.sampled_from(sorted(Settings.model_fields))


@given(st.dictionaries(KEYS | st.text(max_size=20), JSON_VALUES, max_size=6))
def test_any_context_is_answered_in_whole_lines(context: dict[str, object]) -> None:
    report = read_settings(context)
    for line in report.faults + report.warnings:
        assert line.isprintable()
        assert len(line) < 1000


@given(st.integers(30, 65536), st.integers(1, 255), st.integers(5, 720), st.booleans())
def test_sound_values_come_back_the_same_in_both_forms(
    disk: int, generation: int, minutes: int, flag: bool
) -> None:
    context = {
        "disk_gib": disk,
        "generation": generation,
        "ready_timeout_minutes": minutes,
        "notebooks": flag,
    }
    as_text = {
        key: json.dumps(value) if isinstance(value, bool) else str(value)
        for key, value in context.items()
    }
    first, second = read_settings(context), read_settings(as_text)
    assert first == second
    assert first.faults == ()


@given(st.ip_addresses(v=4), st.integers(1, 32))
def test_every_ipv4_network_is_taken_in_its_canonical_form(
    address: ipaddress.IPv4Address, prefix: int
) -> None:
    network = ipaddress.ip_network(f"{address}/{prefix}", strict=False)
    assert read_settings({"ssh_cidr": str(network)}).settings.ssh_cidr == (str(network),)


@given(st.sampled_from(sorted(gpu_catalog.gpu_types())), st.data())
def test_one_wrong_letter_in_a_type_is_refused_with_a_suggestion(
    name: str, data: st.DataObject
) -> None:
    index = data.draw(st.integers(4, len(name) - 1))
    misspelt = name[:index] + "q" + name[index + 1 :]
    faults = read_settings({"instance_type": misspelt}).faults
    assert len(faults) == 1
    assert "did you mean" in faults[0] or "take" in faults[0]
