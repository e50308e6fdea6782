package main

import (
	"errors"
	"io/fs"
	"os"
)

// providerName is how the sandbox's operators registered the demo provider's key for its orders.
const providerName = "provider"

// orderKey gives the demo provider a key for its orders, once, and the sam the public half.
func (s *sandbox) orderKey() error {
	public := s.path("sam", "provider.pem")
	if _, err := os.Lstat(public); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	private, pub, err := newOrderKey()
	if err != nil {
		return err
	}
	if err := s.own("provider", s.path("provider", "order-key.pem"), private); err != nil {
		return err
	}
	return s.own("sam", public, pub)
}
