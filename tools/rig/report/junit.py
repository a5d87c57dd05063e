"""Rounds as JUnit XML, which what builds and shows tests reads.

Contract: a file is a suite, a play is a case. What is wrong with the product is a `failure`; what is wrong with the
bench, the scenario or the infrastructure is an `error` of that type: nothing is said of the product then.
"""

import re
from collections.abc import Iterable
from typing import Final
from xml.etree import ElementTree as ET

from tools.rig.run.rounds import Round
from tools.rig.verdict.blame import Blame
from tools.rig.verdict.outcome import Outcome

# What XML 1.0 can hold (section 2.2 of its specification, "Char").
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def document(rounds: Iterable[Round]) -> bytes:
    """The file."""
    suites = ET.Element("testsuites", name="vitalgate rig")
    for one in rounds:
        cases = [_case(one, outcome) for outcome in one.outcomes]
        failures = sum(outcome.blame is Blame.PRODUCT for outcome in one.outcomes)
        wrong = len(one.outcomes) - one.passed
        suite = ET.SubElement(
            suites,
            "testsuite",
            name=_xml(one.file),
            tests=str(len(cases)),
            failures=str(failures),
            errors=str(wrong - failures),
            time=f"{sum(outcome.took_s for outcome in one.outcomes):.1f}",
        )
        properties = ET.SubElement(suite, "properties")
        for name, value in (("setting", one.setting), ("about", one.about)):
            ET.SubElement(properties, "property", name=name, value=_xml(value))
        suite.extend(cases)
    ET.indent(suites)
    return bytes(ET.tostring(suites, encoding="utf-8", xml_declaration=True))


def _case(one: Round, outcome: Outcome) -> ET.Element:
    case = ET.Element(
        "testcase",
        name=f"seed {outcome.seed}",
        classname=_xml(f"{one.setting}.{one.name}"),
        time=f"{outcome.took_s:.1f}",
    )
    if outcome.blame is not None:
        kind = "failure" if outcome.blame is Blame.PRODUCT else "error"
        of_it = [found.text for found in outcome.findings if found.blame is outcome.blame]
        wrong = ET.SubElement(case, kind, type=outcome.blame.value, message=_xml(of_it[0]))
        wrong.text = _xml("\n".join(f"{found.blame}: {found.text}" for found in outcome.findings))
    return case


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
