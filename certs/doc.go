// Package certs is X.509: the certificate profiles we issue (root, issuing CA,
// time-stamping unit, OCSP responder, qualified certificates of natural persons,
// lasting and one-time) as one table, each certificate linted before it is
// signed; CRLs of any length; OCSP requests and answers; checking of paths; and
// the one table of accepted algorithms and sizes.
//
// A certificate is made in two steps. Prepare builds it by its profile, has a
// twin signed by a throw-away key and lints that: zlint (RFC 5280 and ETSI)
// and our own rules. Only what Prepare returned can reach an issuer's key, once
// (Prepared.Sign); the bytes that are signed are the bytes that were linted.
package certs
