"""pyHanko on top of what others signed.

Usage: after.py KEY.pem CERTIFICATE.pem ROOT.pem TSA-URL FILE ; a line each of MODE TAB IN.pdf TAB OUT.pdf.
MODE: sign (with a new field that does not show), visible (with one that does), renew (a time-stamp over the newest document
time-stamp, and what is needed to judge that). Ends with 1 and the reason when one of them cannot be done.
"""

import asyncio
import io
import pathlib
import sys

from asn1crypto import pem, x509
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign import signers
from pyhanko.sign.fields import SigFieldSpec, SigSeedSubFilter
from pyhanko.sign.timestamps import HTTPTimeStamper
from pyhanko_certvalidator import ValidationContext


async def renew(reader, out, root, stamper):
    context = ValidationContext(trust_roots=[root], allow_fetching=True, revocation_mode="require")
    await signers.PdfTimeStamper(stamper).async_update_archival_timestamp_chain(reader, context, output=out)


def sign(f, out, signer, box):
    writer = IncrementalPdfFileWriter(f, strict=False)  # some producers write what only older versions of PDF knew
    about = signers.PdfSignatureMetadata(field_name="Other", subfilter=SigSeedSubFilter.PADES)
    field = SigFieldSpec("Other", box=box, on_page=0)
    signers.PdfSigner(about, signer=signer, new_field_spec=field).sign_pdf(writer, output=out)


def main(argv):
    if len(argv) != 6:
        print(__doc__, file=sys.stderr)
        return 2
    signer = signers.SimpleSigner.load(argv[1], argv[2])
    _, _, der = pem.unarmor(pathlib.Path(argv[3]).read_bytes())
    root = x509.Certificate.load(der)
    for line in pathlib.Path(argv[5]).read_text().splitlines():
        mode, source, target = line.split("\t")
        f = io.BytesIO(pathlib.Path(source).read_bytes())  # pyHanko writes into what it reads while it renews
        with open(target, "wb") as out:
            if mode == "renew":
                asyncio.run(renew(PdfFileReader(f, strict=False), out, root, HTTPTimeStamper(argv[4])))
            else:
                sign(f, out, signer, (50, 50, 250, 120) if mode == "visible" else None)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
