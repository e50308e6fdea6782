// Package strictyaml reads configuration files: unknown keys are refused,
// because a key that is spelt wrongly must not silently mean the default.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v3"
)

// MaxFile bounds a configuration file, in bytes.
const MaxFile = 1 << 20

// Read reads the one YAML document of the file into v, a pointer to a struct.
// An empty file leaves v as it is. Errors name the file and what is wrong.
func Read(path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	if len(b) > MaxFile {
		return fmt.Errorf("%s is larger than %d bytes", path, MaxFile)
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := dec.Decode(&struct{}{}); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: more than one YAML document", path)
	}
	return nil
}
