package evidence

import (
	"fmt"
	"time"
)

// conclude writes down, in plain words, what was proven and what the proof
// rests on.
func (j *job) conclude() {
	r := j.rep
	documents := "1 document"
	if r.Positions > 1 {
		documents = fmt.Sprintf("%d documents", r.Positions)
	}
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	r.Proven = []string{
		fmt.Sprintf("the service asked itsme, with its own signature, to show account %s the text below, which names or counts the %s and ends with check code %s", r.Account, documents, r.CheckCode),
		fmt.Sprintf("itsme (%s) signed that this account answered exactly this question at %s, at level %s; the question is fixed by nonce %s", r.Issuer, at(r.AnsweredAt), j.m.ACR, r.Nonce),
		fmt.Sprintf("the key of certificate %q signed each of the %s that the question fixes, and each signature value verifies", r.Certificate, documents),
		fmt.Sprintf("the signature activation module wrote down the question, the answer (%s) and, before each use of the key, what it would sign; last use %s", at(r.ConfirmedAt), at(r.SignedAt)),
		fmt.Sprintf("all of this existed at %s, as time-stamped by %q", at(r.StampedAt), r.StampedBy),
	}
	if r.Witnesses > 0 {
		r.Proven = append(r.Proven, fmt.Sprintf("the record of these acts was seen by %d witness(es) when it had %d rows: it cannot have been changed since without their help", r.Witnesses, r.Checkpoint))
	}
	r.Trusted = []string{
		"that the itsme app showed this text, and that the right person held the phone, rests on itsme",
		"that the certificate names the right person rests on the certification authority; it was on a path to a root that you gave. Whether it was revoked is not looked at here: the service asks before each use",
		"that the key was used by nothing else rests on the operator of the signature activation module and on its token",
		"the time-stamp rests on the authority that made it, and on a root that you gave",
	}
	if r.Provider != "" {
		r.Proven = append(r.Proven, fmt.Sprintf("provider %q signed, with a key that the bundle holds, an order of %s", r.Provider, documents))
		r.Trusted = append(r.Trusted, "that this key is the provider's rests on the operators, who registered it")
		if !r.Hashes && !j.same {
			r.Trusted = append(r.Trusted, "that the documents are the files of that order, with nothing but a signature added, was compared by the signature activation module; compare the digests in the order with the files")
		}
	} else {
		r.Trusted = append(r.Trusted, "the provider did not sign its order: that it ordered these documents rests on the service's front")
	}
	if r.Hashes {
		r.Proven = append(r.Proven, "the person was told that only hashes were supplied and that the documents were not seen")
		r.Trusted = append(r.Trusted, "which documents have these hashes rests on who supplied them: the service did not see the documents. Compare the hashes with the files, or give the files here")
	}
	if j.trust.ItsmeKeys == nil {
		r.Trusted = append(r.Trusted, "itsme's key set is as the service says that it fetched it from "+j.b.IssuerKeys.URL+" at "+j.b.IssuerKeys.At+": trust in the service, unless you give itsme's keys from another source (--itsme-keys)")
	}
	if j.trust.LogKey == "" {
		r.Trusted = append(r.Trusted, "the key of the record is the one that the bundle names: trust in the service, unless you give it (--log-key)")
	}
	switch {
	case r.Witnesses == 0:
		r.Trusted = append(r.Trusted, "no witness outside the service saw the record: that it was not written anew rests on the service and on the time-stamp")
	case len(j.trust.WitnessKeys) == 0:
		r.Trusted = append(r.Trusted, "the witness is the one that the bundle names, unless you give its key (--witness-key)")
	case len(j.trust.WitnessKeys) < r.Witnesses:
		r.Trusted = append(r.Trusted, "the other witnesses are those that the bundle names, unless you give their keys too (--witness-key)")
	}
	if r.Qualified {
		r.Proven = append(r.Proven, "the certificate says of itself that it is a qualified one, with its key in a qualified device; whether its issuer may say so is for a trusted list")
	} else {
		r.Trusted = append(r.Trusted, "the certificate does not say that it is a qualified one of a natural person")
	}
}
