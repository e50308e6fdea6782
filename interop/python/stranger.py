"""pyHanko as a stranger who has a trusted list and its signer's certificate, and fetches issuers, OCSP and CRLs from the
addresses in certificates: the second opinion on whether a signature is a qualified one.

Usage: stranger.py LIST.xml SIGNER.pem FILE... , files of B-T, B-LT or B-LTA; or, of B-T only, stranger.py --cases FILE, a line
each of NAME TAB LIST.xml TAB SIGNER.pem TAB FILE.
Prints a line each: file or name, verdict (pass or fail), AdES result, qualification of the certificate and of the time-stamp,
best signature time, status of the signer's certificate now, reasons. A file passes when EN 319 102-1's process with time (B-T)
says OK, and pyHanko's assessment that the certificate is a qualified one for signatures, with its key in a qualified device, and
that a listed qualified service made the time-stamp. (Its own demand on time-stamps, ts_qualification_requirements, wants
QcCompliance in the unit's certificate, which EN 319 422 does not ask for.)
"""

import asyncio
import pathlib
import sys

import revocation
from asn1crypto import pem, x509
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.diff_analysis import ModificationLevel
from pyhanko.sign.validation import ades, async_validate_pdf_signature
from pyhanko.sign.validation.errors import SignatureValidationError
from pyhanko.sign.validation.policy_decl import RevinfoOnlineFetchingRule, RevocationInfoGatheringSpec, SignatureValidationSpec
from pyhanko.sign.validation.qualified.eutl_parse import trust_list_to_registry
from pyhanko.sign.validation.qualified.tsp import QTST_URI, QcCertType, TSPTrustManager
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko.sign.validation.status import SignatureCoverageLevel
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.context import CertValidationPolicySpec

SIGNS = KeyUsageConstraints(key_usage={"non_repudiation"})


class Stranger:
    def __init__(self, trusted_list, signer, archived):
        self.archived = archived  # what B-LT and B-LTA add may follow the signature
        _, _, der = pem.unarmor(pathlib.Path(signer).read_bytes())
        registry, errors = trust_list_to_registry(pathlib.Path(trusted_list).read_text(), [x509.Certificate.load(der)])
        if errors:
            raise SystemExit(f"pyHanko does not understand the list: {errors}")
        self.trust = TSPTrustManager(registry)

    def spec(self, cert):
        return SignatureValidationSpec(
            cert_validation_policy=CertValidationPolicySpec(trust_manager=self.trust, revinfo_policy=revocation.policy(cert)),
            ts_cert_validation_policy=CertValidationPolicySpec(trust_manager=self.trust, revinfo_policy=revocation.ALWAYS),
            revinfo_gathering_policy=RevocationInfoGatheringSpec(online_fetching_rule=RevinfoOnlineFetchingRule.ALWAYS_FETCH),
            key_usage_settings=SIGNS,
        )

    def context(self, policy):
        return ValidationContext(trust_manager=self.trust, allow_fetching=True, revinfo_policy=policy)

    async def judge(self, path):
        reasons, result, quality, best, now = [], "-", "-", "-", "-"
        try:
            with open(path, "rb") as f:
                signatures = PdfFileReader(f, strict=True).embedded_regular_signatures
                if not signatures:
                    return [result, quality, best, now], ["no signature found"]
                sig = signatures[-1]
                sig.compute_integrity_info()
                status = await async_validate_pdf_signature(
                    sig, signer_validation_context=self.context(revocation.policy(sig.signer_cert)),
                    ts_validation_context=self.context(revocation.ALWAYS), key_usage_settings=SIGNS,
                )
                now = "good" if status.trusted else str(status.trust_problem_indic)
                if not (status.intact and status.valid):
                    reasons.append("not intact")
                archived = status.coverage == SignatureCoverageLevel.ENTIRE_REVISION and status.modification_level == ModificationLevel.LTA_UPDATES
                whole = status.coverage == SignatureCoverageLevel.ENTIRE_FILE and status.modification_level == ModificationLevel.NONE
                if not (whole or archived and self.archived):
                    reasons.append(f"{status.coverage} {status.modification_level}")
                full = await ades.ades_with_time_validation(sig.signed_data, self.spec(sig.signer_cert), raw_digest=sig.compute_digest())
                result, best = str(full.ades_subindic), str(full.best_signature_time)
                quality, lacking = self.quality(full.api_status)
                reasons += lacking
                if full.ades_subindic != ades.AdESPassed.OK:
                    reasons.append(f"AdES: {full.failure_msg or result}")
                elif status.timestamp_validity is None or full.best_signature_time != status.timestamp_validity.timestamp:
                    reasons.append("best signature time is not the time-stamp's")
        except Exception as e:  # a judge that cannot read a file has not accepted it
            reasons.append(f"not readable by pyHanko: {type(e).__name__}: {e}")
        return [result, quality, best, now], reasons

    @staticmethod
    def quality(status):
        """What certificate and time-stamp are by the list, and what they lack."""
        if status is None:
            return "-", ["nothing is known of the qualification"]
        q = status.qualification_result
        stamp = status.timestamp_validity and status.timestamp_validity.qualification_result
        service = stamp and stamp.service_definition
        qtst = bool(service) and service.base_info.service_type == QTST_URI
        lacking = [] if qtst else ["no qualified time-stamp"]
        if not (q and q.status.qualified):
            return "not qualified", [*lacking, "certificate is not qualified"]
        if q.status.qc_type != QcCertType.QC_ESIGN or not q.status.qc_key_security.is_qscd:
            lacking.append("not for signatures with a qualified device")
        return f"{q.status.qc_type.name} {q.status.qc_key_security.name} {'QTST' if qtst else '-'}", lacking


def main(argv):
    if len(argv) == 3 and argv[1] == "--cases":
        cases = [line.split("\t") for line in pathlib.Path(argv[2]).read_text().splitlines()]
    elif len(argv) >= 4:
        cases = [(path, argv[1], argv[2], path) for path in argv[3:]]
    else:
        print(__doc__, file=sys.stderr)
        return 2
    failed = False
    for name, trusted_list, signer, path in cases:
        try:
            columns, reasons = asyncio.run(Stranger(trusted_list, signer, argv[1] != "--cases").judge(path))
        except SignatureValidationError as e:
            columns, reasons = ["-"] * 4, [f"the list is refused: {e}"]
        failed = failed or bool(reasons)
        print("\t".join([name, "fail" if reasons else "pass", *columns, "; ".join(reasons).replace("\n", " ")]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
