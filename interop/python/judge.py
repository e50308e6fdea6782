"""pyHanko as a judge of tekend's products.

Usage: judge.py ROOT.pem PKIDIR FILE...
Prints a line a file: file, verdict (pass or fail), coverage, AdES result, reasons.
A file passes when its last signature is intact and trusted, covers the whole document, nothing was changed
since, and pyHanko's EN 319 102-1 validation with time (B-T) says OK with the time of a valid time-stamp.
"""

import asyncio
import pathlib
import sys

import revocation
from asn1crypto import crl, pem, x509
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.ades.report import AdESIndeterminate
from pyhanko.sign.diff_analysis import ModificationLevel
from pyhanko.sign.validation import ades, async_validate_pdf_signature
from pyhanko.sign.validation.policy_decl import (
    LocalKnowledge,
    RevinfoOnlineFetchingRule,
    RevocationInfoGatheringSpec,
    SignatureValidationSpec,
)
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko.sign.validation.status import SignatureCoverageLevel
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.context import CertValidationPolicySpec
from pyhanko_certvalidator.registry import SimpleTrustManager
from pyhanko_certvalidator.revinfo.archival import CRLContainer


def certificate(path):
    data = path.read_bytes()
    if pem.detect(data):
        _, _, data = pem.unarmor(data)
    return x509.Certificate.load(data)


def revocation_list(path):
    data = path.read_bytes()
    if pem.detect(data):
        _, _, data = pem.unarmor(data)
    return crl.CertificateList.load(data)


class Judge:
    def __init__(self, root, pki):
        self.root = certificate(pathlib.Path(root))
        self.certs = [certificate(p) for p in sorted(pathlib.Path(pki).glob("*.pem"))]
        self.crls = [revocation_list(p) for p in sorted(pathlib.Path(pki).rglob("*.crl"))]
        if not self.crls:
            raise SystemExit(f"no CRL in {pki}: revocation could not be judged")

    def context(self, policy):
        return ValidationContext(
            trust_roots=[self.root],
            other_certs=self.certs,
            crls=self.crls,
            allow_fetching=False,
            revinfo_policy=policy,
        )

    def spec(self, cert):
        trust = SimpleTrustManager.build(trust_roots=[self.root])
        return SignatureValidationSpec(
            cert_validation_policy=CertValidationPolicySpec(trust_manager=trust, revinfo_policy=revocation.policy(cert)),
            ts_cert_validation_policy=CertValidationPolicySpec(trust_manager=trust, revinfo_policy=revocation.ALWAYS),
            revinfo_gathering_policy=RevocationInfoGatheringSpec(
                online_fetching_rule=RevinfoOnlineFetchingRule.LOCAL_ONLY
            ),
            local_knowledge=LocalKnowledge(
                known_certs=self.certs, known_crls=[CRLContainer(c) for c in self.crls]
            ),
            key_usage_settings=KeyUsageConstraints(key_usage={"non_repudiation"}),
        )

    async def judge(self, path):
        reasons, coverage, result = [], "-", "-"
        try:
            with open(path, "rb") as f:
                reader = PdfFileReader(f, strict=True)
                signatures = reader.embedded_regular_signatures
                if not signatures:
                    return coverage, result, ["no signature found"]
                sig = signatures[-1]
                sig.compute_integrity_info()
                status = await async_validate_pdf_signature(
                    sig, signer_validation_context=self.context(revocation.policy(sig.signer_cert)),
                    ts_validation_context=self.context(revocation.ALWAYS),
                    key_usage_settings=KeyUsageConstraints(key_usage={"non_repudiation"}),
                )
                coverage = status.coverage.name
                if not (status.intact and status.valid):
                    reasons.append("not intact")
                # A certificate revoked by now is left to the process with time below: it knows what came first.
                if not status.trusted and status.trust_problem_indic != AdESIndeterminate.REVOKED_NO_POE:
                    reasons.append(f"not trusted: {status.trust_problem_indic}")
                if status.coverage != SignatureCoverageLevel.ENTIRE_FILE:
                    reasons.append("does not cover the whole file")
                if status.modification_level != ModificationLevel.NONE:
                    reasons.append(f"modified: {status.modification_level}")
                stamp = status.timestamp_validity
                if stamp is None or not (stamp.intact and stamp.valid and stamp.trusted):
                    reasons.append("no valid, trusted time-stamp")
                full = await ades.ades_with_time_validation(
                    sig.signed_data, self.spec(sig.signer_cert), raw_digest=sig.compute_digest()
                )
                result = str(full.ades_subindic)
                if full.ades_subindic != ades.AdESPassed.OK:
                    reasons.append(f"AdES: {full.failure_msg or result}")
                elif stamp is not None and full.best_signature_time != stamp.timestamp:
                    reasons.append("best signature time is not the time-stamp's")
        except Exception as e:  # a judge that cannot read a file has not accepted it
            reasons.append(f"not readable by pyHanko: {type(e).__name__}: {e}")
        return coverage, result, reasons


def main(argv):
    if len(argv) < 4:
        print(__doc__, file=sys.stderr)
        return 2
    judge = Judge(argv[1], argv[2])
    failed = False
    for path in argv[3:]:
        coverage, result, reasons = asyncio.run(judge.judge(path))
        failed = failed or bool(reasons)
        print("\t".join([path, "fail" if reasons else "pass", coverage, result, "; ".join(reasons).replace("\n", " ")]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
