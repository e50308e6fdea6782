"""pyHanko about PDFs of every level: PAdES-B-B, B-T, B-LT, B-LTA.

Usage: matrix.py [--offline URL] CASES ; a line of CASES is NAME TAB ROOT.pem TAB PKIDIR TAB FILE TAB LEVEL (B, T, LT, LTA).
Prints a line each: name, verdict (pass or fail), AdES result, coverage and modifications, reasons.

B and T get the certificates and CRLs of PKIDIR. LT and LTA get the root and nothing else: what they need must be in the file;
and with --offline URL this program proves first that URL, which others reach, is out of its reach.
The newest signature is judged by EN 319 102-1: basic (B), with time (T), with time and the file's own data (LT), with archival data
(LTA); whatever came after it must be what LT and LTA add. Of LTA the newest document time-stamp must cover the whole file.
"""

import asyncio
import dataclasses
import logging
import pathlib
import socket
import sys
import urllib.parse

from asn1crypto import crl, ocsp
from judge import Judge
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.diff_analysis import ModificationLevel
from pyhanko.sign.validation import DocumentSecurityStore, ades
from pyhanko.sign.validation.policy_decl import LocalKnowledge, PdfSignatureValidationSpec
from pyhanko.sign.validation.status import SignatureCoverageLevel
from pyhanko_certvalidator.revinfo.archival import CRLContainer, OCSPContainer


class Matrix(Judge):
    """Judge's trust and lists, with processes for every level."""

    def alone(self, sig):
        """The specification for a file that must bring everything itself: what its DSS dictionary holds is all that is known."""
        dss = DocumentSecurityStore.read_dss(sig.reader)
        answers = [r.get_object().data for r in dss.ocsps]
        lists = [r.get_object().data for r in dss.crls]
        known = LocalKnowledge(
            known_certs=list(dss.load_certs()),
            known_crls=[CRLContainer(crl.CertificateList.load(d)) for d in lists],
            known_ocsps=[c for d in answers for c in OCSPContainer.load_multi(ocsp.OCSPResponse.load(d))],
        )
        return dataclasses.replace(self.spec(sig.signer_cert), local_knowledge=known)

    async def ask(self, path, level):
        result, extent, reasons = "-", "-", []
        try:
            with open(path, "rb") as f:
                reader = PdfFileReader(f, strict=True)
                if not reader.embedded_regular_signatures:
                    return result, extent, ["no signature found"]
                sig = reader.embedded_regular_signatures[-1]
                sig.compute_integrity_info()
                full = await self.process(sig, level)
                result = str(full.ades_subindic)
                if full.ades_subindic != ades.AdESPassed.OK:
                    reasons.append(f"AdES: {full.failure_msg or result}")
                status = full.api_status
                if not (status.intact and status.valid):
                    reasons.append("not intact")
                stamp = status.timestamp_validity
                if level != "B" and not (stamp and stamp.intact and stamp.valid and stamp.trusted):
                    reasons.append("no valid, trusted time-stamp")
                elif level != "B" and full.best_signature_time != stamp.timestamp:
                    reasons.append("best signature time is not the time-stamp's")
                extent, lacking = self.extent(sig, reader, level)
                reasons += lacking
                if level == "LTA" and not full.oldest_evidence_record_timestamp:
                    reasons.append("the document time-stamp proves nothing")
        except Exception as e:  # a judge that cannot read a file has not accepted it
            reasons.append(f"not readable by pyHanko: {type(e).__name__}: {e}")
        return result, extent, reasons

    async def process(self, sig, level):
        if level == "LTA":
            return await ades.ades_lta_validation(sig, PdfSignatureValidationSpec(self.alone(sig)))
        # ades_lta_validation demands proofs of existence of everything, even of what is in force: that is not there before LTA.
        check = ades.ades_basic_validation if level == "B" else ades.ades_with_time_validation
        spec = self.alone(sig) if level == "LT" else self.spec(sig.signer_cert)
        return await check(sig.signed_data, spec, raw_digest=sig.compute_digest())

    @staticmethod
    def extent(sig, reader, level):
        """What the signature covers, what came after it, and what is wrong with that."""
        info = sig.summarise_integrity_info()
        coverage, later = info["coverage"], sig.diff_result.modification_level if sig.diff_result else ModificationLevel.NONE
        text = f"{coverage.name} {later.name}"
        if not level.startswith("LT"):
            whole = coverage == SignatureCoverageLevel.ENTIRE_FILE and later == ModificationLevel.NONE
            return text, [] if whole else ["does not cover the whole file"]
        lacking = []
        if coverage != SignatureCoverageLevel.ENTIRE_REVISION or later != ModificationLevel.LTA_UPDATES:
            lacking.append("what came after the signature is more than LT and LTA add")
        stamps = [s for s in reader.embedded_timestamp_signatures if s.signed_revision > sig.signed_revision]
        if len(stamps) != (1 if level == "LTA" else 0):
            lacking.append(f"{len(stamps)} document time-stamps")
        for stamp in stamps[-1:]:
            if stamp.evaluate_signature_coverage() != SignatureCoverageLevel.ENTIRE_FILE:
                lacking.append("the document time-stamp does not cover the whole file")
        return text, lacking


def must_be_out_of_reach(url):
    """A judge who is said to be without network and is not would find what the file lacks."""
    at = urllib.parse.urlsplit(url)
    try:
        socket.create_connection((at.hostname, at.port or 80), timeout=2).close()
    except OSError:
        return
    raise SystemExit(f"there is a network: {url} answers")


def main(argv):
    logging.disable(logging.CRITICAL)  # what is found is in the columns
    if len(argv) == 4 and argv[1] == "--offline":
        must_be_out_of_reach(argv[2])
        argv = argv[2:]
    if len(argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    judges, failed = {}, False
    for line in pathlib.Path(argv[1]).read_text().splitlines():
        name, root, pki, path, level = line.split("\t")
        if (root, pki) not in judges:
            judges[root, pki] = Matrix(root, pki)
        result, extent, reasons = asyncio.run(judges[root, pki].ask(path, level))
        failed = failed or bool(reasons)
        print("\t".join([name, "fail" if reasons else "pass", result, extent, "; ".join(reasons).replace("\n", " ")]), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
