"""Takes the last signature of a PDF apart for OpenSSL, with no library: cms.der, content (the signed ranges), value
(the signature octets) and tst.der (the time-stamp token), written to a folder; and when the newest of all is a document time-stamp,
doc-tst.der and doc-content.

Usage: extract.py [--any] FILE FOLDER... ; with --any a signature may lack its time-stamp (B-B).
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


def inner(cms):
    """The elements of a SignedData."""
    _, start, stop = tlv(cms, 0)
    signed_data = list(children(cms, start, stop))[1][2]
    _, start, stop = tlv(signed_data, 0)
    return list(children(signed_data, start, stop))


def is_time_stamp(cms):
    """Whether what is signed is a TSTInfo: eContentType is id-ct-TSTInfo."""
    content = inner(cms)[2][2]
    return next(children(content, 0, len(content)))[1].hex() == "060b2a864886f70d0109100104"


def signatures(data):
    """Reach, CMS and signed octets of each ByteRange, newest first."""
    found = []
    for r in re.findall(rb"/ByteRange\s*\[\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s*\]", data):
        a, b, c, d = map(int, r)
        gap = data[a + b : c]
        if not (gap.startswith(b"<") and gap.endswith(b">")):
            raise SystemExit("the gap is not a hex string")
        blob = bytes.fromhex(gap[1:-1].decode())
        _, _, end = tlv(blob, 0)
        if any(blob[end:]):
            raise SystemExit("the padding is not zero")
        found.append((c + d, blob[:end], data[a : a + b] + data[c : c + d]))
    return sorted(found, key=lambda f: f[0], reverse=True)


def take(path, out):
    """Writes the parts of one file; says whether there is a signature time-stamp."""
    found = signatures(path.read_bytes())
    if found and is_time_stamp(found[0][1]):
        (out / "doc-tst.der").write_bytes(found[0][1])
        (out / "doc-content").write_bytes(found[0][2])
    found = [f for f in found if not is_time_stamp(f[1])]
    if not found:
        raise SystemExit("no ByteRange")
    _, cms, content = found[0]
    (out / "cms.der").write_bytes(cms)
    (out / "content").write_bytes(content)
    signer_infos = inner(cms)[-1][2]
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
                return True
    return False


def main(argv):
    any_level = argv[:1] == ["--any"]
    names = argv[1:] if any_level else argv
    for path, folder in zip(names[::2], names[1::2], strict=True):
        if not take(pathlib.Path(path), pathlib.Path(folder)) and not any_level:
            raise SystemExit("no signature time-stamp")


if __name__ == "__main__":
    main(sys.argv[1:])
