package strictjson_test

import (
	"testing"

	"tekend/strictjson"
)

// BenchmarkDecode reads a message of the size of a manifest.
func BenchmarkDecode(b *testing.B) {
	type document struct {
		Alg   string `json:"alg"`
		Doc   string `json:"doc"`
		Label string `json:"label"`
	}
	type manifest struct {
		V, Op, Txn, Iss, Service, Sub, Root, Salt string
		Docs                                      []document
		Iat, Exp                                  int64
	}
	in := []byte(`{"V":"x/1","Op":"sign","Txn":"1","Iss":"https://itsme.test/v2","Service":"S","Sub":"s","Root":"r","Salt":"s",` +
		`"Docs":[{"alg":"SHA-256","doc":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU","label":"contract.pdf"}],"Iat":1,"Exp":2}`)
	for b.Loop() {
		var m manifest
		if err := strictjson.Decode(in, 1<<16, &m); err != nil {
			b.Fatal(err)
		}
	}
}
