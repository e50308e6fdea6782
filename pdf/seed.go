package pdf

import "crypto"

// The flags of a seed value dictionary that make an entry a demand and not a
// wish (12.7.5.5, table 237).
const (
	seedFilter = 1 << iota
	seedSubFilter
	seedVersion
	seedReasons
	seedLegal
	seedRevocation
	seedDigest
	seedLock
	seedAppearance
)

const (
	filterName    = "Adobe.PPKLite"
	subFilterName = "ETSI.CAdES.detached"

	stampSubFilterName = "ETSI.RFC3161"
)

// checkSeed refuses a field whose author demands what we do not do. Wishes are
// not looked at.
func (d *doc) checkSeed(f field, h crypto.Hash) error {
	sv, err := d.want(f.dict, "SV", kDict)
	if err != nil || sv.kind() == kNull {
		return err
	}
	flags, err := d.intOf(sv, "Ff")
	if err != nil {
		return err
	}
	flags = max(0, flags)
	// These take other work than we do: we write no reason, attest nothing,
	// embed no revocation data, lock and draw nothing.
	for bit, what := range map[int64]string{seedLegal: "a legal attestation", seedLock: "locking the document",
		seedAppearance: "an appearance"} {
		if flags&bit != 0 {
			return errf(CodeSeedValue, "the field demands %s", what)
		}
	}
	if err = d.seedNames(sv, flags, h); err != nil {
		return err
	}
	if err = d.seedReasons(sv, flags); err != nil {
		return err
	}
	return d.seedParts(sv, flags)
}

// seedNames checks the entries that list names we must be among.
func (d *doc) seedNames(sv val, flags int64, h crypto.Hash) error {
	digest := map[crypto.Hash]string{crypto.SHA256: "SHA256", crypto.SHA384: "SHA384", crypto.SHA512: "SHA512"}[h]
	for _, c := range []struct {
		bit      int64
		key, our string
	}{{seedFilter, "Filter", filterName}, {seedSubFilter, "SubFilter", subFilterName}, {seedDigest, "DigestMethod", digest}} {
		if flags&c.bit == 0 {
			continue
		}
		v, err := d.get(sv, c.key)
		if err != nil {
			return err
		}
		ok := v.kind() == kNull || v.name() == c.our
		if v.kind() == kArray {
			for i := range v.n.kids {
				e, err := d.deref(v.kid(i))
				if err != nil {
					return err
				}
				ok = ok || e.name() == c.our || string(e.bytes()) == c.our
			}
		}
		if !ok {
			return errf(CodeSeedValue, "the field demands another /%s", c.key)
		}
	}
	return nil
}

// seedReasons: we give no reason; one "." alone means that none may be given.
func (d *doc) seedReasons(sv val, flags int64) error {
	if flags&seedReasons == 0 {
		return nil
	}
	v, err := d.get(sv, "Reasons")
	if err != nil || v.kind() != kArray || len(v.n.kids) == 0 {
		return err
	}
	first, err := d.deref(v.kid(0))
	if err != nil {
		return err
	}
	if len(v.n.kids) == 1 && string(first.bytes()) == "." {
		return nil
	}
	return errf(CodeSeedValue, "the field demands a reason")
}

func (d *doc) seedParts(sv val, flags int64) error {
	if v, err := d.intOf(sv, "V"); err != nil || flags&seedVersion != 0 && v > 3 {
		return cmpErr(err, errf(CodeSeedValue, "the field demands a newer version"))
	}
	rev, err := d.get(sv, "AddRevInfo")
	if err != nil {
		return err
	}
	if flags&seedRevocation != 0 && string(rev.raw()) == "true" {
		return errf(CodeSeedValue, "the field demands revocation data")
	}
	mdp, err := d.get(sv, "MDP")
	if err != nil {
		return err
	}
	if p, err := d.intOf(mdp, "P"); err != nil || p > 0 {
		return cmpErr(err, errf(CodeSeedValue, "the field demands a certification signature"))
	}
	for _, k := range []string{"Cert", "TimeStamp"} {
		v, err := d.get(sv, k)
		if err != nil {
			return err
		}
		if f, err := d.intOf(v, "Ff"); err != nil || f > 0 {
			return cmpErr(err, errf(CodeSeedValue, "the field demands something of /%s", k))
		}
	}
	return nil
}
