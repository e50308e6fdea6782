package main

import (
	"encoding/base64"
	"errors"
	"os"
	"time"

	"tekend/api"
)

// The clients of the sandbox at its itsme: Identification is never good for a
// signature, so it is a client of its own.
const (
	identClient, identService     = "TKIDENT", "TEKEND_IDENT"
	confirmClient, confirmService = "TKCONFIRM", "TEKEND_CONFIRM"
)

type doc = map[string]any

// configure writes every process's configuration file, at each start, so that
// it follows what this program knows.
func (s *sandbox) configure() error {
	key, err := s.apiKey()
	if err != nil {
		return err
	}
	version, digest, err := api.TermsInForce()
	if err != nil {
		return err
	}
	if err := s.orderKey(); err != nil {
		return err
	}
	if err := s.copySamples(); err != nil {
		return err
	}
	return errors.Join(
		s.configureFront(key),
		s.gated("sam", s.samConfig()),
		s.gated("ca", s.caConfig(version, base64.RawURLEncoding.EncodeToString(digest))),
		s.gated("tsa", s.tsaConfig()),
		s.role("itsme", s.itsmeConfig()),
		s.role("witness", s.witnessConfig()),
		s.role("anchor", doc{"listen": "fd:3", "key": s.path("anchor", "unit.key"), "cert": s.path("anchor", "unit.pem"), "ntp": []string{"fd:4", "fd:5", "fd:6"}}),
		s.role("provider", doc{
			"listen": "fd:3", "public_url": s.url("provider"), "service": s.url("front"),
			"api_key_file": s.path("provider", "api-key"), "samples": s.path("provider", "samples"),
			"name": providerName, "order_key_file": s.path("provider", "order-key.pem"),
		}),
	)
}

func (s *sandbox) configureFront(key string) error {
	if err := s.own("front", s.path("front", "provider.key"), []byte(key+"\n")); err != nil {
		return err
	}
	if _, err := s.newKey("front", s.path("front", "one-time.key")); err != nil {
		return err
	}
	if err := s.httpsCertificate(); err != nil {
		return err
	}
	return s.role("front", doc{
		"tls":    doc{"listen": "fd:4", "cert_file": s.path("front", "https.pem"), "key_file": s.path("front", "https.key")},
		"listen": "fd:3", "public_url": s.url("front"), "sandbox": true, "roots": s.path("pki", "root.pem"),
		"sockets": doc{
			"sam": s.path("sam", "run", "sam.sock"), "ca": s.path("ca", "run", "ca.sock"), "tsa": s.path("tsa", "run", "tsa.sock"),
		},
		"api": doc{"security_txt": doc{
			"contacts": []string{"mailto:security@tekend-sandbox.test"}, "expires": s.p.now().AddDate(0, 1, 0).UTC().Truncate(time.Second),
		}},
		"evidence_tsas": []doc{{"url": s.url("anchor") + "/tsa", "root_file": s.path("front", "anchor-root.pem")}},
		"clients": []doc{
			{"id": "provider", "name": "Demo provider (simulation)", "key_file": s.path("front", "provider.key")},
			{"id": "one-time", "name": "Demo provider with one-time certificates (simulation)", "key_file": s.path("front", "one-time.key"), "credential": "one-time"},
		},
		"store": doc{"db": s.path("front", "front.db"), "blobs": s.path("front", "blobs")},
	})
}

func (s *sandbox) token(role string) doc {
	d := doc{
		"module": s.module(), "softhsm_conf": s.path(role, "softhsm2.conf"),
		"token_label": "tekend-" + role, "pin_file": s.path(role, "pin"),
	}
	if s.module() != s.cmd.Module {
		d["test_only"] = true
	}
	if s.cmd.Spy != "" {
		d["sessions"] = 1 // the spy does not lock: with one session its log has one call after the other
	}
	return d
}

// listener is a role's socket for one caller; the one who started the sandbox
// may ask for health too.
func (s *sandbox) listener(role, folder, name, caller string) doc {
	return doc{"socket": s.path(role, folder, name), "peers": []int{s.uid(caller), os.Getuid()}}
}

func (s *sandbox) issuer() doc { return doc{"issuer": s.url("itsme") + "/v2"} }

func (s *sandbox) samConfig() doc {
	redirect := s.url("front") + "/itsme/callback"
	client := func(id, service, file string) doc {
		return doc{"id": id, "service": service, "redirect_uri": redirect, "enc_key_file": s.path("sam", file)}
	}
	return doc{
		"token": s.token("sam"), "listen": s.listener("sam", "run", "sam.sock", "front"), "jwks_listen": "fd:3",
		"operator_listen":  doc{"socket": s.path("sam", "operators", "sam.sock"), "peers": []int{os.Getuid()}},
		"emergency_listen": "fd:4",
		"audit":            s.auditConfig("sam"),
		"sam": doc{
			"db": s.path("sam", "sam.db"), "itsme": s.issuer(),
			"ident":     client(identClient, identService, "itsme-ident-enc.pem"),
			"confirm":   client(confirmClient, confirmService, "itsme-confirm-enc.pem"),
			"root_file": s.path("sam", "root.pem"), "issuer_file": s.path("sam", "issuing-ca.pem"),
			"status_socket": s.path("ca", "status", "status.sock"), "key_type": s.state.KeyType,
			"limits":          doc{"open": 1000, "per_hour": 100000, "per_minute": 100000}, // scripts play the magic people; the defaults are for people
			"notices":         doc{"kind": "file", "dir": s.path("sam", "notices"), "from": "Tekend SANDBOX <keys@tekend-sandbox.test>", "help": "this is a sandbox; nobody answers"},
			"providers":       []doc{{"name": providerName, "key_files": []string{s.path("sam", "provider.pem")}}},
			"provider_signed": s.cmd.ProviderSigned, "policy_sha256": s.promises.cpsSum,
			"emergency_url": s.url("emergency") + "/",
		},
	}
}

func (s *sandbox) caConfig(terms, digest string) doc {
	return doc{
		"token": s.token("ca"), "listen": s.listener("ca", "run", "ca.sock", "front"),
		"status_listen":   s.listener("ca", "status", "status.sock", "sam"),
		"operator_listen": doc{"socket": s.path("ca", "operators", "ca.sock"), "peers": []int{os.Getuid()}},
		"audit":           s.auditConfig("ca"),
		"ca": doc{
			"db": s.path("ca", "ca.db"), "root_file": s.path("ca", "root.pem"), "issuing_ca_file": s.path("ca", "issuing-ca.pem"),
			"tsu_file": s.path("ca", "tsu.pem"), "root_crl_file": s.path("ca", "root.crl"),
			"publish_dir": s.path("pki"), "public_url": s.url("front") + "/pki", "cps_url": s.promises.cpsURL, "pds": s.promises.pds,
			"itsme": s.issuer(), "ident_client": identClient, "confirm_client": confirmClient,
			"default_country": "BE", "terms_version": terms, "terms_sha256": digest,
		},
	}
}

func (s *sandbox) tsaConfig() doc {
	return doc{
		"token": s.token("tsa"), "listen": s.listener("tsa", "run", "tsa.sock", "front"),
		"chain_files": []string{s.path("tsa", "tsu.pem"), s.path("tsa", "root.pem")},
		"audit":       s.auditConfig("tsa"),
		"tsa":         doc{"db": s.path("tsa", "tsa.db"), "clock": s.clockConfig(), "qualified": true},
	}
}

func (s *sandbox) itsmeConfig() doc {
	client := func(id, label, keys, service, kind string) doc {
		return doc{
			"id": id, "label": label, "jwks_url": s.url("jwks") + "/jwks/" + keys, "pkce_required": true,
			"redirect_uris": []string{s.url("front") + "/itsme/callback"}, "services": doc{service: kind},
		}
	}
	return doc{
		"listen": "fd:3",
		"sandbox": doc{
			"issuer": s.url("itsme") + "/v2", "state_file": s.path("itsme", "state.json"),
			"clients": []doc{
				client(identClient, "tekend sandbox", "ident", identService, "Identification"),
				client(confirmClient, "tekend sandbox", "confirm", confirmService, "Confirmation"),
			},
		},
	}
}
