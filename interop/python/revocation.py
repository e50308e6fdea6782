"""When pyHanko shall ask for revocation data: always, but not for a certificate that says that there is none."""

from pyhanko_certvalidator.policy_decl import REQUIRE_REVINFO, CertRevTrustPolicy, RevocationCheckingPolicy, RevocationCheckingRule

NO_REV_AVAIL = "2.5.29.56"  # RFC 9608

ALWAYS = CertRevTrustPolicy(REQUIRE_REVINFO)


def policy(cert):
    """pyHanko 0.38 does not know noRevAvail, so the rule is made here."""
    if any(e["extn_id"].dotted == NO_REV_AVAIL for e in cert["tbs_certificate"]["extensions"]):
        return CertRevTrustPolicy(
            RevocationCheckingPolicy(RevocationCheckingRule.NO_CHECK, RevocationCheckingRule.CRL_OR_OCSP_REQUIRED)
        )
    return ALWAYS
