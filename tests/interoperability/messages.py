# SPDX-License-Identifier: MIT
"""What is sent in each scenario."""
from hl7test import message, message_of

N = 5
LARGE = 1 << 20
NOTES = {"UTF-8": "\u00c4\u03a9\u0416\u6f22\U0001fac0"}  # two, three and four bytes


def payload(i, scenario="one"):
    """Message number i; only UTF-8's has other characters than ASCII, as not every dissector can read them."""
    extra = [f"NTE|1||{NOTES.get(scenario, 'plain')}"]
    fields = {"version": "2.5.1", "charset": "UNICODE UTF-8", "extra": extra}
    if scenario == "large":
        return message_of(LARGE, f"ID{i}", **fields)
    made = message(f"ID{i}", **fields)
    # a converter will miss what the patient is known by
    return made.replace(b"CANARYID^^^HOSP^MR", b"") if scenario == "refused" else made


def payloads(scenario):
    return [payload(i, scenario) for i in range(N if scenario in ("kept", "forward") else 1)]
