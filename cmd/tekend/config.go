package main

import (
	"bytes"
	"errors"
	"io"
	"os"

	"go.yaml.in/yaml/v3"
)

// maxConfig bounds a configuration file, in bytes.
const maxConfig = 1 << 20

// readYAML reads a configuration file strictly: unknown keys are refused,
// because a key that is spelt wrongly must not silently mean the default.
func readYAML(path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return usage("read the configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxConfig))
	if err != nil {
		return usage("read the configuration: %w", err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		return usage("%s: %w", path, err)
	}
	return nil
}

// writeYAML writes a configuration file that only its owner reads.
func writeYAML(path string, v any) error {
	b, err := yaml.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}
