"""Reads h2spec's report. Exits with 1 if a case fails that is no exception, or if one of these passes.

Usage: h2spec.py REPORT
"""

import sys
import xml.etree.ElementTree as tree

# By section and name, with the reason.
EXCEPTIONS = {
    ("http2/3.5", "Sends invalid connection preface"): "the port speaks HTTP/1.1 too: what is no preface is a request of that, "
    "which is answered 400 before the connection is closed",
}


def main() -> None:
    passed, excepted, failed = 0, set(), 0
    for case in tree.parse(sys.argv[1]).getroot().iter("testcase"):
        name, fault = (case.get("package"), case.get("classname")), case.find("failure")
        fault = case.find("error") if fault is None else fault
        if fault is None:
            passed += 1
        elif name in EXCEPTIONS:
            excepted.add(name)
        else:
            failed += 1
            print(f"{': '.join(name)}: {''.join(fault.itertext()).strip()}")
    for name in EXCEPTIONS.keys() - excepted:
        failed += 1
        print(f"{': '.join(name)}: is no exception any more")
    if passed < 140:
        sys.exit(f"only {passed} cases passed: the comparison shows nothing")
    print(f"{passed} passed, {len(excepted)} exceptions, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
