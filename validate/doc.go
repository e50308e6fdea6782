// Package validate judges signed documents in the words of EN 319 102-1 V1.4.1:
// ours before they are released, and others' when we are asked.
//
// A verdict is one [Indication] with reasons; its zero is "unknown", and what
// is not proven does not pass. For each signature of a PDF:
//
//   - Format: ByteRange leaves out exactly the <hex> token of this signature and
//     ends with a complete revision; the rules of PAdES baseline (EN 319 142-1
//     §6.3).
//   - Cryptography: the digest of the signed bytes, the value, the certificate
//     that signing-certificate names.
//   - Time: document time-stamps are judged from the newest to the oldest. Each
//     one that is proven proves that what it covers existed at its time; so
//     certificates may expire and algorithms may end without harm to what is
//     older. The best signature time is the earliest that is proven.
//   - Trust: a path to a given root, good at that time, with the status of every
//     certificate of every path that needs one, time-stamping units and OCSP
//     responders among them. Data comes from the document, from the caller, and
//     from Options.Revocation; without any the verdict is TRY_LATER.
//   - Changes: what later revisions did must be on a list (package pdf); else
//     the signature does not pass, although the revision that it means is intact.
//   - Level: B-B, B-T, B-LT, B-LTA, as far as proven; the last two by what the
//     document itself holds.
//
// docs/decisions/0024 says where this is stricter than other validators.
// Nothing here waits without end or grows with the document: see the limits in
// evidence.go and package pdf's budget.
package validate
