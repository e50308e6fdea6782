"""Takes the last signature of a PDF apart for OpenSSL, with no library: cms.der, content (the signed ranges), value
(the signature octets) and tst.der (the time-stamp token), written to a folder.

Usage: extract.py FILE FOLDER
"""

import pathlib
import re
import sys


def tlv(data, at):
    """Tag, start of content, end of the DER element at offset `at`."""
    tag, length, at = data[at], data[at + 1], at + 2
    if length & 0x80:
        n = length & 0x7F
        length, at = int.from_bytes(data[at : at + n], "big"), at + n
    return tag, at, at + length


def children(data, start, end):
    while start < end:
        tag, content, stop = tlv(data, start)
        yield tag, data[start:stop], data[content:stop]
        start = stop


def main(path, folder):
    data, out = pathlib.Path(path).read_bytes(), pathlib.Path(folder)
    ranges = re.findall(rb"/ByteRange\s*\[\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s*\]", data)
    if not ranges:
        raise SystemExit("no ByteRange")
    a, b, c, d = max((tuple(map(int, r)) for r in ranges), key=lambda r: r[2] + r[3])
    gap = data[a + b : c]
    if not (gap.startswith(b"<") and gap.endswith(b">")):
        raise SystemExit("the gap is not a hex string")
    blob = bytes.fromhex(gap[1:-1].decode())
    _, _, end = tlv(blob, 0)
    cms = blob[:end]
    if any(blob[end:]):
        raise SystemExit("the padding is not zero")
    (out / "cms.der").write_bytes(cms)
    (out / "content").write_bytes(data[a : a + b] + data[c : c + d])

    _, start, stop = tlv(cms, 0)
    signed_data = list(children(cms, start, stop))[1][2]
    _, start, stop = tlv(signed_data, 0)
    signer_infos = list(children(signed_data, start, stop))[-1][2]
    _, start, stop = tlv(signer_infos, 0)
    info = list(children(signer_infos, start, stop))
    value = [content for tag, _, content in info if tag == 0x04][-1]
    (out / "value").write_bytes(value)
    for tag, _, attributes in info:
        if tag != 0xA1:
            continue
        for _, _, attribute in children(attributes, 0, len(attributes)):
            (_, oid, _), (_, _, values) = children(attribute, 0, len(attribute))
            if oid.hex() == "060b2a864886f70d010910020e":  # id-aa-timeStampToken
                (out / "tst.der").write_bytes(values)
                return
    raise SystemExit("no signature time-stamp")


if __name__ == "__main__":
    main(*sys.argv[1:])
