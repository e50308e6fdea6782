"""pyHanko as a client of the time-stamping unit, and as a reader of its tokens.

Usage: stamp.py URL ROOT.pem PKIDIR HASH...
Asks for a token over a digest of each hash and validates it against the root, with the CRLs of the folder.
Prints a line each: hash, verdict (pass or fail), time, reasons.
"""

import asyncio
import hashlib
import pathlib
import sys

import aiohttp
from asn1crypto import crl, pem, x509
from pyhanko.sign.timestamps.aiohttp_client import AIOHttpTimeStamper
from pyhanko.sign.validation.generic_cms import validate_tst_signed_data
from pyhanko.sign.validation.status import TimestampSignatureStatus
from pyhanko_certvalidator import ValidationContext


async def stamp(url, root, crls, name):
    digest = hashlib.new(name, b"what pyHanko wants a time for").digest()
    async with aiohttp.ClientSession() as session:
        token = await AIOHttpTimeStamper(url, session=session).async_timestamp(digest, name)
    context = ValidationContext(trust_roots=[root], crls=crls, revocation_mode="require")
    status = TimestampSignatureStatus(
        **await validate_tst_signed_data(token["content"], context, lambda algorithm: digest if algorithm == name else b"")
    )
    reasons = [w for w in ("intact", "valid", "trusted") if not getattr(status, w)]
    return status.timestamp, [f"not {r}" for r in reasons]


def main(argv):
    if len(argv) < 5:
        print(__doc__, file=sys.stderr)
        return 2
    _, _, der = pem.unarmor(pathlib.Path(argv[2]).read_bytes())
    root = x509.Certificate.load(der)
    crls = [crl.CertificateList.load(p.read_bytes()) for p in sorted(pathlib.Path(argv[3]).rglob("*.crl"))]
    failed = False
    for name in argv[4:]:
        at, reasons = "-", []
        try:
            at, reasons = asyncio.run(stamp(argv[1], root, crls, name))
        except Exception as e:
            reasons = [f"{type(e).__name__}: {e}"]
        failed = failed or bool(reasons)
        print("\t".join([name, "fail" if reasons else "pass", str(at), "; ".join(reasons).replace("\n", " ")]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
