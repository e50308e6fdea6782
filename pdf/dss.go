package pdf

import (
	"io"
)

// Material is what a document security store holds (ISO 32000-2, 12.8.4.3; EN
// 319 142-1, 5.4.2.2): DER of certificates, of whole OCSPResponses and of CRLs.
type Material struct {
	Certificates [][]byte
	OCSPs        [][]byte
	CRLs         [][]byte
}

// AddDSS makes the update that puts m into the DSS dictionary of the size bytes
// of base.
func AddDSS(base io.ReaderAt, size int64, m Material, b Budget) ([]byte, error) {
	return nil, errf(CodeBadOptions, "not yet")
}
