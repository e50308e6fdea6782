"""pkilint as a judge of certificates, CRLs and OCSP answers: its own command lines, all in one process.

Usage: lint.py FILE ; a line each of NAME TAB LINTER TAB ARGUMENTS, LINTER one of pkix, etsi, chain, crl, ocsp,
ARGUMENTS as for pkilint's program of that name ("-t CRL -p PKIX a.crl"), without severity and format.
Prints a line a finding of NOTICE or worse: name, linter, severity, code, where, message. At the end "judged" and how many.
"""

import contextlib
import io
import json
import pathlib
import sys

from pkilint.bin import (
    lint_crl,
    lint_etsi_cert,
    lint_ocsp_response,
    lint_pkix_cert,
    lint_pkix_signer_signee_cert_chain,
)

LINTERS = {
    "pkix": lint_pkix_cert,
    "etsi": lint_etsi_cert,
    "chain": lint_pkix_signer_signee_cert_chain,
    "crl": lint_crl,
    "ocsp": lint_ocsp_response,
}


def lint(linter, arguments):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = LINTERS[linter].main(["lint", "-s", "NOTICE", "-f", "JSON", *arguments.split()])
    if not out.getvalue().strip():
        raise SystemExit(f"pkilint {linter} {arguments} said nothing, exit {code}")
    for result in json.loads(out.getvalue())["results"]:
        for finding in result["finding_descriptions"]:
            yield finding["severity"], finding["code"], result["node_path"], finding.get("message") or "-"


def main(argv):
    if len(argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    judged = 0
    for line in pathlib.Path(argv[1]).read_text().splitlines():
        name, linter, arguments = line.split("\t")
        for finding in lint(linter, arguments):
            print("\t".join([name, linter, *(str(f).replace("\n", " ") for f in finding)]))
        judged += 1
    print(f"judged\t{judged}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
