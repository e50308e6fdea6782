"""pyHanko about CAdES signatures: B-B, B-T and B-LT. It knows no archive-time-stamp-v3.

Usage: cades.py [--offline URL] CASES ; a line of CASES is NAME TAB ROOT.pem TAB PKIDIR TAB CMS TAB LEVEL (B, T, LT) TAB CONTENT,
"-" when the signature holds its content. Prints a line each: name, verdict (pass or fail), AdES result, level, reasons.

B and T get the certificates and CRLs of PKIDIR. LT gets the root and nothing else: what it needs must be in the signature; and
with --offline URL this program proves first that URL, which others reach, is out of its reach.
"""

import asyncio
import dataclasses
import hashlib
import pathlib
import sys

from asn1crypto import cms, ocsp
from judge import Judge
from matrix import must_be_out_of_reach
from pyhanko.sign.general import extract_certificate_info
from pyhanko.sign.validation import ades
from pyhanko.sign.validation.policy_decl import LocalKnowledge
from pyhanko_certvalidator.revinfo.archival import CRLContainer, OCSPContainer


class Cades(Judge):
    @staticmethod
    def carried(signed):
        """What the SignedData itself holds."""
        lists, answers = [], []
        for choice in signed["crls"] or []:
            if choice.name == "other":
                answers += OCSPContainer.load_multi(ocsp.OCSPResponse.load(choice.chosen["other_rev_info"].dump()))
            else:
                lists.append(CRLContainer(choice.chosen))
        return LocalKnowledge(known_certs=list(extract_certificate_info(signed).other_certs), known_crls=lists, known_ocsps=answers)

    async def ask(self, path, level, content):
        result, reached, reasons = "-", "-", []
        try:
            signed = cms.ContentInfo.load(pathlib.Path(path).read_bytes(), strict=True)["content"]
            digest = None  # of the content that is in it
            if content != "-":
                name = signed["signer_infos"][0]["digest_algorithm"]["algorithm"].native
                digest = hashlib.new(name, pathlib.Path(content).read_bytes()).digest()
            spec = self.spec(extract_certificate_info(signed).signer_cert)
            if level == "LT":
                spec = dataclasses.replace(spec, local_knowledge=self.carried(signed))
            check = ades.ades_basic_validation if level == "B" else ades.ades_with_time_validation
            full = await check(signed, spec, raw_digest=digest)
            result = str(full.ades_subindic)
            if full.ades_subindic != ades.AdESPassed.OK:
                reasons.append(f"AdES: {full.failure_msg or result}")
            status = full.api_status
            if not (status.intact and status.valid):
                reasons.append("not intact")
            stamp = status.timestamp_validity
            reached = "B" if stamp is None else "T"
            if level == "B" and stamp:
                reasons.append("a time-stamp that was not ordered")
            elif level != "B" and not (stamp and stamp.intact and stamp.valid and stamp.trusted):
                reasons.append("no valid, trusted time-stamp")
            elif level != "B" and full.best_signature_time != stamp.timestamp:
                reasons.append("best signature time is not the time-stamp's")
        except Exception as e:  # a judge that cannot read a file has not accepted it
            reasons.append(f"not readable by pyHanko: {type(e).__name__}: {e}")
        return result, reached, reasons


def main(argv):
    if len(argv) == 4 and argv[1] == "--offline":
        must_be_out_of_reach(argv[2])
        argv = argv[2:]
    if len(argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    judges, failed = {}, False
    for line in pathlib.Path(argv[1]).read_text().splitlines():
        name, root, pki, path, level, content = line.split("\t")
        if (root, pki) not in judges:
            judges[root, pki] = Cades(root, pki)
        result, reached, reasons = asyncio.run(judges[root, pki].ask(path, level, content))
        failed = failed or bool(reasons)
        print("\t".join([name, "fail" if reasons else "pass", result, reached, "; ".join(reasons).replace("\n", " ")]), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
