package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"tekend/client"
)

// sandboxFile is what D/sandbox.json holds; paths are relative to D.
type sandboxFile struct {
	Front        string         `json:"front"`
	HTTPS        string         `json:"https"`          // the same by https
	HTTPSRootPEM string         `json:"https_root_pem"` // what its certificate is trusted by
	Itsme        string         `json:"itsme"`
	TSA          string         `json:"tsa"`
	PKI          string         `json:"pki"`
	JWKS         string         `json:"jwks"`
	Emergency    string         `json:"emergency"` // where people revoke with a code
	Provider     string         `json:"provider"`
	RootPEM      string         `json:"root_pem"`
	AnchorPEM    string         `json:"anchor_root_pem"` // root of the foreign time-stamping authority
	APIKeyFile   string         `json:"api_key_file"`
	TrustedList  string         `json:"trusted_list,omitempty"` // TS 119 612, once `make trusted-list` made one
	PIDs         map[string]int `json:"pids"`
	Version      string         `json:"version"`
}

// findSandbox reads dir/sandbox.json; nil when there is none.
func findSandbox(dir string) (*sandboxFile, error) {
	b, err := os.ReadFile(filepath.Join(dir, "sandbox.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, usage("read the sandbox: %w", err)
	}
	var s sandboxFile
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, usage("%s/sandbox.json is damaged: %w; start the sandbox again", dir, err)
	}
	s.RootPEM = filepath.Join(dir, s.RootPEM)
	s.AnchorPEM = filepath.Join(dir, s.AnchorPEM)
	s.APIKeyFile = filepath.Join(dir, s.APIKeyFile)
	return &s, nil
}

// serverFlags say which server a command talks to.
type serverFlags struct {
	Sandbox   string `help:"Folder of a sandbox, for its address, key and roots." default:".sandbox" type:"path" placeholder:"DIR"`
	Server    string `help:"Base URL of the service. Default: the sandbox's." placeholder:"URL"`
	KeyFile   string `help:"File with the API key. Default: the sandbox's." type:"path" placeholder:"FILE"`
	PlainHTTP bool   `name:"plain-http" help:"Send the API key by http to another machine: something else protects the way."`
}

// resolve gives base URL, API key, and whether it is a sandbox of ours.
func (f serverFlags) resolve() (base, key string, sandbox bool, err error) {
	s, err := findSandbox(f.Sandbox)
	if err != nil {
		return "", "", false, err
	}
	base, keyFile := strings.TrimSuffix(f.Server, "/"), f.KeyFile
	if s != nil && (base == "" || base == s.Front) {
		base, sandbox = s.Front, true
		if keyFile == "" {
			keyFile = s.APIKeyFile
		}
	}
	switch {
	case base == "":
		return "", "", false, usage("no server: give --server URL, or start one here with: make demo")
	case keyFile == "":
		return "", "", false, usage("no API key: give --key-file FILE")
	case client.InClear(base) && !f.PlainHTTP:
		return "", "", false, usage("the API key would be sent in clear to that server: give an address of https, or --plain-http where something else protects the way")
	}
	b, err := os.ReadFile(keyFile)
	if err != nil {
		return "", "", false, usage("read the API key: %w", err)
	}
	return base, strings.TrimSpace(string(b)), sandbox, nil
}
