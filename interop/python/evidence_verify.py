"""A second verifier of evidence bundles, written from docs/evidence.md and nothing else; § are its sections.

Usage: evidence_verify.py --trust ROOTS.pem... [--itsme-keys FILE] [--log-key KEY] [--witness-key KEY]... [--signed FILE]... BUNDLE...
Prints a line a bundle: file, ok or refused, reason. Exit code 1 when one was refused."""
import argparse, base64, datetime, hashlib, json, re, struct, sys
from urllib.parse import urlsplit

from asn1crypto import cms, core, tsp  # noqa: F401 - tsp teaches cms the TSTInfo
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

CLAIM = "http://itsme.services/v2/claim/"
PKCS1, S256, SIZES = padding.PKCS1v15(), hashes.SHA256(), {"SHA-256": 32, "SHA-384": 48, "SHA-512": 64}
SCHEMES = {}  # §4.4: alg, kind of key, name of the algorithm in ASN.1, what verify() wants
for n, h in ((256, S256), (384, hashes.SHA384()), (512, hashes.SHA512())):
    SCHEMES[f"ecdsa-with-SHA{n}"] = (f"SHA-{n}", ec.EllipticCurvePublicKey, f"sha{n}_ecdsa", (ec.ECDSA(h),))
    SCHEMES[f"sha{n}WithRSAEncryption"] = (f"SHA-{n}", rsa.RSAPublicKey, f"sha{n}_rsa", (PKCS1, h))
    SCHEMES[f"RSASSA-PSS-SHA{n}"] = (f"SHA-{n}", rsa.RSAPublicKey, "rsassa_pss", (padding.PSS(padding.MGF1(h), n // 8), h))
PADES = ["cms_algorithm_protection", "content_type", "message_digest", "signing_certificate_v2"]
MIME = "0.4.0.1733.2.1"  # mime-type, which asn1crypto does not know by name

def need(ok, why):
    if not ok: raise ValueError(why)

# §1
def H(data, alg="SHA-256"): return hashlib.new(alg.replace("-", ""), data).digest()
def b64(text, length=None, url=False):
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) if url else base64.b64decode(text, validate=True)
    again = b64u(data) if url else base64.b64encode(data).decode()
    need(again == text and length in (None, len(data)), "base64 in another spelling or length")
    return data
def b64u(data): return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
def un_b64u(text, length=None): return b64(text, length, True)
def D(data): return b64u(H(data.encode() if isinstance(data, str) else data))
def canonical(value): return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
def unique(pairs):
    need(len(dict(pairs)) == len(pairs), "a member stands twice")
    return dict(pairs)
def read(data): return json.loads(data, object_pairs_hook=unique)
def read_canonical(data, limit):
    need(len(data) <= limit and canonical(read(data)) == data, "not canonical, or too long")
    return read(data)
def members(value, names):
    need(isinstance(value, dict) and sorted(value) == sorted(names.split()), f"the members are not {names}")
def jws(compact, key_set, order=False):
    """Header and payload; the service's and itsme's are RS256, orders (§4.5) ES256: one by another algorithm is refused here."""
    header, payload, signature = (un_b64u(p) for p in compact.split("."))
    header, signed, found = read(header), compact.rpartition(".")[0].encode(), {}
    need(header["alg"] == ("ES256" if order else "RS256") and "crit" not in header, "another JWS algorithm")
    for k in read(key_set)["keys"]:
        if order and k["kty"] == "EC" and k["crv"] == "P-256" and k["kid"] == D(canonical({m: k[m] for m in ("crv", "kty", "x", "y")})):
            x, y = (int.from_bytes(un_b64u(k[m], 32), "big") for m in "xy")
            found[k["kid"]] = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        elif not order and k.get("kty") == "RSA" and k.get("kid") and k.get("use", "sig") == "sig" and k.get("alg", "RS256") == "RS256":
            n, e = (int.from_bytes(un_b64u(k[m]), "big") for m in "ne")
            if n.bit_length() >= 2048 and e == 65537:
                need(k["kid"] not in found, "two keys with one kid")
                found[k["kid"]] = rsa.RSAPublicNumbers(e, n).public_key()
    if order:
        need(len(signature) == 64, "signature of the order")
        signature = utils.encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    found[header["kid"]].verify(signature, signed, *((ec.ECDSA(S256),) if order else (PKCS1, S256)))
    return header, read(payload)

# §4.1
def manifest(b):
    m = read_canonical(b64(b["manifest"]), 120 << 10)
    members(m, "v op txn iss client_id service redirect_uri acr sub code_challenge salt template docs root cred iat exp" + " policy" * ("policy" in m))
    if "policy" in m: un_b64u(m["policy"], 32)
    need(all(isinstance(m[x], str) and m[x] for x in "txn iss client_id service redirect_uri acr sub".split()), "a text is empty")
    need(m["v"] == "itsme-bind/1" and m["op"] == "sign" and m["template"] == {"name": "free_text", "text": b["text"]}, "v, op or text")
    un_b64u(m["code_challenge"], 32), un_b64u(m["salt"], 32), members(m["cred"], "id cert_sha256")
    need(1 <= len(m["docs"]) <= 250 and len(b["positions"]) == len(m["docs"]), "number of documents")
    for d in m["docs"]:
        members(d, "alg doc dtbs label" + " origin" * ("origin" in d))
        need(d["alg"] == m["docs"][0]["alg"] and d.get("origin") == m["docs"][0].get("origin"), "two digest algorithms or origins")
        need(d.get("origin", "hash") == "hash", "origin")
        un_b64u(d["doc"], SIZES[d["alg"]]), un_b64u(d["dtbs"], SIZES[d["alg"]])
    shown = canonical([{k: d[k] for k in ("alg", "doc", "label")} for d in m["docs"]])
    need(m["root"] == D(b"itsme-bind/1 root\0" + shown), "root")
    need(m["cred"]["id"] and m["cred"]["cert_sha256"] == D(b64(b["certificates"][0])), "another certificate")
    need(type(m["iat"]) is type(m["exp"]) is int and 0 < m["iat"] < m["exp"] <= m["iat"] + 600, "iat and exp")
    bits = int.from_bytes(un_b64u(m["root"], 32), "big") >> 176
    code = "".join("0123456789abcdefghjkmnpqrstvwxyz"[bits >> s & 31] for s in range(75, -1, -5))
    layout(b["text"], m["docs"], "-".join(re.findall("....", code)), b["order"]["provider"] if "order" in b else None)
    return m, D(b"itsme-bind/1 nonce\0" + b64(b["manifest"]))
def layout(text, docs, code, provider):
    labels = [d["label"] for d in docs]
    def words(pattern, number):
        got = re.match(pattern, text)
        need(got and (number is None or re.findall("[0-9]+", got[1]) == [str(number)]), "the text has another layout or number")
        return text[got.end():]
    text, k = words("<b>([^<>&]+)</b>", len(labels)), 0
    if "origin" in docs[0]:
        by = "[^<>&;]+" if provider is None else f"[^<>&;]* {re.escape(provider)}; [^<>&;]*"
        text = words(f"<br><i>({by})</i>", None)
    while k < len(labels) and text.startswith(f"<br>{k + 1}. {labels[k]}<br>"):
        k, text = k + 1, text[len(f"<br>{k + 1}. {labels[k]}"):]
    need(k >= 1, "the text names no document")
    if k < len(labels): text = words("<br><i>([^<>&]+)</i>", len(labels) - k)
    need(words("<br>([^<>&]+?): <b>", None) == code + "</b>", "the text does not end with the check code")

# §4.2
def request(b, m, nonce):
    _, p = jws(b["request"], b64(b["client_keys"]))
    want = {k: m[k] for k in ("client_id", "redirect_uri", "code_challenge", "iat", "exp")}
    want |= {"iss": m["client_id"], "aud": m["iss"], "response_type": "code", "scope": "openid service:" + m["service"],
             "nonce": nonce, "code_challenge_method": "S256", "acr_values": m["acr"]}
    need(all(p.get(k) == v for k, v in want.items()), "the request is not that of the manifest")
    asked, template = p["claims"]["userinfo"], CLAIM + "claim_approval_te"
    got = [asked[c]["value"] for c in ("sub", template + "mplate_name", template + "xt_key")]
    need(got == [m["sub"], "free_text", b["text"]], "the request asks for another text or person")
def token(b, m, nonce, rows, own_keys):
    keys = b["issuer_keys"]
    _, p = jws(b["token"], b64(keys["body"]))
    if own_keys: jws(b["token"], own_keys)
    got = [p["iss"], p["aud"], p.get("azp", p["aud"]), p["nonce"], p["sub"], p["acr"].replace("http://itsme.services/V2/", "http://itsme.services/v2/")]
    need(got == [m["iss"], m["client_id"], m["client_id"], nonce, m["sub"], m["acr"]], "the token answers something else")
    iat, exp, a = p["iat"], p["exp"], rows[1]["at"] / 1e6
    need(type(iat) is type(exp) is int and iat < exp <= iat + 600 and a - 360 <= iat <= a + 60 and a < exp + 120 and p.get("nbf", 0) <= a + 60, "times")
    need(p.get(CLAIM + "ongoing_call") is not True, "the person was in a call")
    need(max(r["at"] for r in rows[2::2]) / 1e6 <= iat + 660, "the key was used too late")
    url, iss = urlsplit(keys["url"]), urlsplit(m["iss"])
    need(url.netloc and (url.scheme, url.netloc) == (iss.scheme, iss.netloc), "the keys are from another host")
    need(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", keys["at"]), "time of the keys")
    need(a - 660 <= datetime.datetime.fromisoformat(keys["at"]).timestamp() <= a, "the keys were not fetched just before")

# §4.3
def row(data):
    label, seq, at, _ = struct.unpack(">15s3q", data[:39])
    fields, rest = [], data[39:]
    for _ in range(5):
        n = int.from_bytes(rest[:8], "big") + 8
        need(n <= len(rest), "a row is cut off")
        fields, rest = fields + [rest[8:n]], rest[n:]
    need(label == b"tekend-audit/2\0" and not rest and [len(f) for f in fields[3:]] == [16, 32], "a row has other fields")
    return {"seq": seq, "at": at, "kind": fields[0].decode(), "subject": fields[1].decode(), "detail": read(fields[2])}
def vkey(text, kind):
    name, key_hash, key = text.split("+", 2)
    raw = b64(key, 33)
    need(raw[0] == kind and name and not re.search(r"\s", name) and H(name.encode() + b"\n" + raw)[:4].hex() == key_hash, "a vkey")
    return name, ed25519.Ed25519PublicKey.from_public_bytes(raw[1:]), bytes.fromhex(key_hash)
def checkpoint(a, trust):
    text, _, lines = a["checkpoint"].rpartition("\n\n")
    text, signatures = text + "\n", {}
    need(lines.endswith("\n"), "the checkpoint has no signatures")
    for line in lines[:-1].split("\n"):
        dash, name, value = line.split(" ")
        raw = b64(value)
        need(dash == "\u2014" and (name, raw[:4]) not in signatures, "signature lines")
        signatures[name, raw[:4]] = raw[4:]
    name, key, key_hash = vkey(a["log_key"], 1)
    key.verify(signatures[name, key_hash], text.encode())
    origin, size, root, end = text.split("\n")
    need(re.fullmatch(re.escape(name) + "(/[1-9][0-9]*)?", origin) and re.fullmatch("[1-9][0-9]*", size) and not end, "origin or size")
    witnesses = [vkey(w, 4) for w in a["witness_keys"]]
    need(len({w[0] for w in witnesses}) == len(witnesses), "a witness stands twice")
    for name, key, key_hash in witnesses:
        s = signatures[name, key_hash]
        key.verify(s[8:], f"cosignature/v1\ntime {int.from_bytes(s[:8], 'big')}\n{text}".encode())
    need(trust.log_key in (None, a["log_key"]) and set(trust.witness_key) <= set(a["witness_keys"]), "another log, or no witness")
    return int(size), b64(root, 32)
def included(r, size, root):
    f, s, h = r["seq"] - 1, size - 1, H(b"\0" + b64(r["row"]))
    need(0 <= f <= s, "seq")
    for p in r["hashes"]:
        need(s != 0, "the path is too long")
        if f & 1 or f == s:
            h = H(b"\1" + b64(p, 32) + h)
            while f and not f & 1: f, s = f >> 1, s >> 1
        else: h = H(b"\1" + h + b64(p, 32))
        f, s = f >> 1, s >> 1
    need(s == 0 and h == root, "a row is not in the tree")
def record(b, m, nonce, trust):
    a, n, keys = b["audit"], len(m["docs"]), b["issuer_keys"]
    members(a, "log_key witness_keys checkpoint rows")
    size, root = checkpoint(a, trust)
    for r in a["rows"]:
        members(r, "seq row hashes")
        included(r, size, root)
    rows = [row(b64(r["row"])) for r in a["rows"]]
    need([r["seq"] for r in a["rows"]] == [r["seq"] for r in rows], "seq of a row")
    kid = read(un_b64u(b["token"].split(".")[0]))["kid"]
    want = [("confirmation.prepared", {"documents": str(n), "root": m["root"], "request": D(b["request"]), "client_keys": D(b64(b["client_keys"]))}),
            ("confirmation.authorized", {"positions": str(n), "token": D(b["token"]), "kid": D(kid), "keys": D(b64(keys["body"])), "keys_url": keys["url"], "keys_at": keys["at"]})]
    o = b.get("order")
    want[0][1].update({"provider": o["provider"], "order": D(o["jws"]), "order_keys": D(b64(o["key_set"]))} if o else dict.fromkeys(("provider", "order", "order_keys")))
    want[0][1]["hashes"] = str(n) if "origin" in m["docs"][0] else None
    for i, d in enumerate(m["docs"]):
        want.append(("key.intent", {"position": str(i), "dtbs": d["dtbs"]}))
        want.append(("key.used", {"position": str(i), "value": D(b64(b["positions"][i]["value"]))}))
    need(len(rows) == len(want) == len({r["seq"] for r in rows}), "number of rows")
    for i, (r, (kind, detail)) in enumerate(zip(rows, want)):
        if kind != "key.used": detail["credential"] = m["cred"]["id"]
        need(r["kind"] == kind and r["subject"] == nonce and all(isinstance(v, str) for v in r["detail"].values()), f"row {i} is no {kind} of this")
        need(all(r["detail"].get(k) == v for k, v in detail.items()), f"row {i} tells of something else")
        before = rows[0 if i <= 1 else 1 if i % 2 == 0 else i - 1]
        need(i == 0 or before["seq"] < r["seq"] and before["at"] - 2e6 <= r["at"], "order of the rows")
    need(m["iat"] <= rows[0]["at"] / 1e6 <= m["iat"] + 60 and rows[1]["at"] / 1e6 <= m["exp"] + 60, "times of the record")
    return rows

# §4.5
def order(o, docs, rows):
    members(o, "provider jws key_set")
    header, p = jws(o["jws"], b64(o["key_set"]), order=True)
    members(header, "alg kid typ"), members(p, "v iss jti iat exp documents")
    need(header["typ"] == "tekend-order+jws" and [p["v"], p["iss"], len(p["documents"])] == [1, o["provider"], len(docs)], "the order")
    for d, p_d in zip(docs, p["documents"]):
        need(p_d and set(p_d) <= {"sha256", "sha384", "sha512"}, "digests of the order")
        need("origin" not in d or p_d.get(d["alg"].lower().replace("-", "")) == d["doc"], "an order of other hashes")
    need(p["iat"] - 60 <= rows[0]["at"] / 1e6 < p["exp"], "time of the order")

# §4.4
def path(chain, roots, at, bag=None):
    """chain is a whole path, or its first certificate when the issuers are looked for in a bag."""
    cert = chain[0]
    for depth in range(8):
        need(cert.not_valid_before_utc <= at <= cert.not_valid_after_utc, "a certificate was not valid")
        if depth:
            ca, usage = (cert.extensions.get_extension_for_class(c).value for c in (x509.BasicConstraints, x509.KeyUsage))
            need(ca.ca and usage.key_cert_sign, "an issuer is no CA")
        by = chain[depth + 1:depth + 2] or roots + (bag or [])
        cert, issuer = next(c for c in by if c.subject == cert.issuer), cert
        issuer.verify_directly_issued_by(cert)
        if cert in roots and (bag is not None or depth == len(chain) - 1): return
    raise ValueError("no path to a root")
def claims(got, cert, prepared):
    at = got["signing_time"][0].native
    need(abs(at.timestamp() - prepared) <= 660 and cert.not_valid_before_utc <= at <= cert.not_valid_after_utc, "signing-time")
    if MIME in got:
        text = core.UTF8String.load(got[MIME][0].dump(), strict=True).native
        need(len(text) <= 80 and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*", text), "mime-type")
def signatures(b, m, certs, roots, used, prepared):
    key = certs[0].public_key()
    for d, p in zip(m["docs"], b["positions"]):
        members(p, "label digest attributes algorithm value")
        der = b64(p["attributes"])
        need(p["label"] == d["label"] and b64u(b64(p["digest"])) == d["doc"] and b64u(H(der, d["alg"])) == d["dtbs"], "position and document")
        alg, kind, name, how = SCHEMES[p["algorithm"]]
        need(alg == d["alg"] and isinstance(key, kind) and (kind is rsa.RSAPublicKey or key.curve.name in ("secp256r1", "secp384r1")), "algorithm and key")
        key.verify(b64(p["value"]), der, *how)
        got = {a["type"].native: a["values"] for a in cms.CMSAttributes.load(der, strict=True) if len(a["values"]) == 1}
        need(sorted(got) in (PADES, sorted(PADES + ["signing_time"]), sorted(PADES + ["signing_time", MIME])) and len(cms.CMSAttributes.load(der)) == len(got), "signed attributes")
        if "signing_time" in got: claims(got, certs[0], prepared)
        need(got["content_type"][0].native == "data" and got["message_digest"][0].native == b64(p["digest"]), "message-digest")
        ess, guard = got["signing_certificate_v2"][0]["certs"], got["cms_algorithm_protection"][0]
        need(len(ess) == 1 and ess[0]["hash_algorithm"]["algorithm"].native == "sha256" and un_b64u(m["cred"]["cert_sha256"]) == ess[0]["cert_hash"].native
             and ess[0]["issuer_serial"]["serial_number"].native == certs[0].serial_number
             and ess[0]["issuer_serial"]["issuer"][0].chosen.untag().dump() == certs[0].issuer.public_bytes(), "signing-certificate-v2")
        need([guard["digest_algorithm"]["algorithm"].native, guard["signature_algorithm"]["algorithm"].native] == [alg.lower().replace("-", ""), name], "guard")
    usage = certs[0].extensions.get_extension_for_class(x509.KeyUsage).value
    need(usage.content_commitment or usage.digital_signature, "key usage")
    path(certs, roots, used)

# §4.6
def time_stamp(der, imprint, roots, used, now):
    signed = cms.ContentInfo.load(der, strict=True)["content"]
    info, (signer,) = signed["encap_content_info"]["content"].parsed, signed["signer_infos"]
    need(info["message_imprint"]["hash_algorithm"]["algorithm"].native == "sha256" and info["message_imprint"]["hashed_message"].native == imprint, "imprint")
    need(used - datetime.timedelta(seconds=60) <= info["gen_time"].native <= now, "genTime")
    bag = [x509.load_der_x509_certificate(c.dump()) for c in signed["certificates"]]
    cert = next(c for c in bag if c.serial_number == signer["sid"].chosen["serial_number"].native and c.issuer.public_bytes() == signer["sid"].chosen["issuer"].dump())
    got = {a["type"].native: a["values"][0] for a in signer["signed_attrs"]}
    alg = signer["digest_algorithm"]["algorithm"].native
    content, kind = signed["encap_content_info"]["content"].contents, signer["signature_algorithm"]
    need(kind.signature_algo in ("ecdsa", "rsassa_pkcs1v15") and kind["algorithm"].native in (f"{alg}_ecdsa", f"{alg}_rsa", "rsassa_pkcs1v15")
         and alg in [d["algorithm"].native for d in signed["digest_algorithms"]], "algorithms of the time-stamp")
    need(got["message_digest"].native == hashlib.new(alg, content).digest() and got["content_type"].native == "tst_info", "signed attributes of the time-stamp")
    need(got["signing_certificate_v2"]["certs"][0]["cert_hash"].native == cert.fingerprint(S256), "another unit")
    key, h = cert.public_key(), getattr(hashes, alg.upper())()
    how = (ec.ECDSA(h),) if isinstance(key, ec.EllipticCurvePublicKey) else (PKCS1, h)
    key.verify(signer["signature"].native, b"\x31" + signer["signed_attrs"].dump()[1:], *how)
    eku = cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    need(eku.critical and list(eku.value) == [x509.oid.ExtendedKeyUsageOID.TIME_STAMPING], "no time-stamping unit")
    path([cert], roots, info["gen_time"].native, bag)
def documents(files, b):
    left = {b64(p["digest"]): p for p in b["positions"]}  # each file has its own position
    for data in files:
        if any(left.pop(H(data, a), None) for a in SIZES): continue  # the content itself, of CAdES
        one, two, three, four = map(int, re.findall(rb"/ByteRange\s*\[\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s*\]", data)[-1])
        need(one == 0 and three + four == len(data) and data[two:two + 1] + data[three - 1:three] == b"<>", "not the whole file is covered")
        p = left.pop(next(d for a in SIZES if (d := H(data[:two] + data[three:], a)) in left))
        signer = cms.ContentInfo.load(bytes.fromhex(data[two + 1:three - 1].decode()))["content"]["signer_infos"][0]
        need(b"\x31" + signer["signed_attrs"].dump()[1:] == b64(p["attributes"]) and signer["signature"].native == b64(p["value"]), "a file has another signature")
def verify(data, trust, roots, own_keys, files):
    b = read_canonical(data, 4 << 20)
    members(b, "v manifest text request client_keys token issuer_keys certificates positions audit time_stamps" + " order" * ("order" in b))
    members(b["issuer_keys"], "url at body")
    need(b["v"] == "tekend-evidence/1" and len(set(b["time_stamps"])) == len(b["time_stamps"]) > 0, "version, or no time-stamp")
    now, (m, nonce) = datetime.datetime.now(datetime.timezone.utc), manifest(b)
    rows = record(b, m, nonce, trust)
    request(b, m, nonce)
    token(b, m, nonce, rows, own_keys)
    if "order" in b: order(b["order"], m["docs"], rows)
    used = datetime.datetime.fromtimestamp(max(r["at"] for r in rows[3::2]) / 1e6, datetime.timezone.utc)
    signatures(b, m, [x509.load_der_x509_certificate(b64(c)) for c in b["certificates"]], roots, used, rows[0]["at"] / 1e6)
    imprint = H(canonical({k: v for k, v in b.items() if k != "time_stamps"}))
    for t in b["time_stamps"]: time_stamp(b64(t), imprint, roots, used, now)
    documents(files, b)
def main():
    ap, bad = argparse.ArgumentParser(), 0
    ap.add_argument("--trust", required=True, action="append"), ap.add_argument("--itsme-keys"), ap.add_argument("--log-key"), ap.add_argument("bundle", nargs="+")
    ap.add_argument("--witness-key", action="append", default=[]), ap.add_argument("--signed", action="append", default=[])
    args = ap.parse_args()
    load = lambda name: open(name, "rb").read()
    roots, own_keys = x509.load_pem_x509_certificates(b"".join(map(load, args.trust))), args.itsme_keys and load(args.itsme_keys)
    for name in args.bundle:
        try:
            verify(load(name), args, roots, own_keys, [load(f) for f in args.signed])
            print(name, "ok", "", sep="\t")
        except Exception as e:  # what cannot be read is refused like what is wrong
            bad = 1
            print(name, "refused", f"{type(e).__name__}: {e}".replace("\n", " ")[:200], sep="\t")
    return bad

if __name__ == "__main__": sys.exit(main())
