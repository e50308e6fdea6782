package api

import (
	_ "embed"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
)

//go:embed openapi.yaml
var specYAML []byte

var _ = openapi3filter.ValidateParameter
var _ openapi3.T
