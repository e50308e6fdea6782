package production

import (
	"crypto/x509"
	"encoding/asn1"
	"io"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"tekend/certs"
)

// NobodysID is the organizationIdentifier of a sandbox: no register gives it out.
const NobodysID = "NTRBE-0000000000"

// oidOrganisationID is organizationIdentifier (X.520 §6.4.4, EN 319 412-1 §5.1.4).
var oidOrganisationID = asn1.ObjectIdentifier{2, 5, 4, 97}

// Certificate looks for the marks of a sandbox in the name of a certificate of ours. name says which it is.
func (l *List) Certificate(name string, cert *x509.Certificate) {
	l.Unless(!strings.Contains(cert.Subject.CommonName, certs.SandboxMark) && !strings.Contains(strings.Join(cert.Subject.Organization, " "), certs.SandboxMark),
		name, "its name says %s: the keys are those of a sandbox's ceremony; hold one with production: true", certs.SandboxMark)
	for _, n := range cert.Subject.Names {
		if n.Type.Equal(oidOrganisationID) && n.Value == NobodysID {
			l.Add(name, "its organisation is %s, which is nobody's; hold a ceremony with organisation.id set", NobodysID)
		}
	}
}

// Policy wants an identifier of a policy of our own, and, when planned is not empty, the one that the operators of the
// ceremony approved.
func (l *List) Policy(setting, oid, planned string) {
	parsed, err := certs.ParseOID(oid)
	switch {
	case oid == "":
		l.Add(setting, "it is not set, so that the test policy would be stated; set an identifier of your own below an arc that you own")
	case err != nil:
		l.Add(setting, "%v", err)
	case certs.IsTestPolicy(parsed):
		l.Add(setting, "%s is a test policy of ours; set an identifier of your own below an arc that you own", oid)
	case parsed[0] == 2 && parsed[1] == 999:
		l.Add(setting, "%s is below the arc for examples (X.660); set one below an arc that you own", oid)
	case planned != "" && planned != oid:
		l.Add(setting, "it is %s, and the ceremony was held for %s; one of them is wrong", oid, planned)
	}
}

// Words are the words in capitals of the files in deploy/, which are to be filled in.
var Words = []string{
	"IDENT-CLIENT", "IDENT-SERVICE", "CONFIRM-CLIENT", "CONFIRM-SERVICE", "TERMS-VERSION", "TERMS-SHA256", "POLICY-SHA256",
	"WITNESS-KEY", "OPERATOR-KEY-1", "OPERATOR-KEY-2", "SAM-LOG-KEY", "CA-LOG-KEY", "TSA-LOG-KEY", "HSM-MODULE",
	"PERSON-POLICY", "TSU-POLICY", "STAMP-POLICY", "POLICY-HEX", "PDS-HEX",
}

// maxFile bounds the file that is looked at, in bytes: far more than any configuration.
const maxFile = 1 << 20

// Placeholders looks for them in any value of a YAML file. One that cannot be read has been refused by its reader.
func (l *List) Placeholders(path string) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err == nil {
		l.words("", &doc)
	}
}

func (l *List) words(name string, n *yaml.Node) {
	if i := slices.IndexFunc(Words, func(word string) bool { return strings.Contains(n.Value, word) }); n.Kind == yaml.ScalarNode && i >= 0 {
		l.Add(name, "%s is a word of the example; fill in what is yours (deploy/README.md)", Words[i])
	}
	for i, child := range n.Content {
		switch {
		case n.Kind != yaml.MappingNode:
			l.words(name, child)
		case i%2 == 1:
			l.words(strings.TrimPrefix(name+"."+n.Content[i-1].Value, "."), child)
		}
	}
}
