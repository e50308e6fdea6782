package main

import (
	"os"

	"go.yaml.in/yaml/v3"

	"tekend/strictyaml"
)

// readYAML reads a configuration file; what is wrong with it is wrong use.
func readYAML(path string, v any) error {
	if err := strictyaml.Read(path, v); err != nil {
		return usage("%w", err)
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
