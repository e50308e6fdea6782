package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"tekend/clock/ntp"
	itsme "tekend/itsme/sandbox"
)

// The sandbox's sources of time are three NTP servers in the process of the other house's time-stamping authority. They tell this
// machine's own time, so they prove nothing about it; but the tsa asks them as it would ask real ones.

// timeServers are the sandbox's names for them, in state.json.
var timeServers = []string{"ntp-1", "ntp-2", "ntp-3"}

// listenTime opens the UDP ports here, as listen does for TCP.
func (s *sandbox) listenTime() error {
	host, _, err := net.SplitHostPort(s.cmd.Listen)
	if err != nil {
		return usage("--listen: %w", err)
	}
	for _, name := range timeServers {
		c, err := net.ListenPacket("udp", net.JoinHostPort(host, strconv.Itoa(s.state.Ports[name])))
		if err != nil {
			return unreachable("the server of time %s cannot listen: %w; is this sandbox running already?", name, err)
		}
		s.state.Ports[name] = c.LocalAddr().(*net.UDPAddr).Port
		f, err := c.(*net.UDPConn).File()
		if err := errors.Join(err, c.Close()); err != nil {
			return err
		}
		s.sockets[name] = f
	}
	return nil
}

// timeSockets are what the anchor's process gets behind its listener.
func (s *sandbox) timeSockets() (files []*os.File) {
	for _, name := range timeServers {
		files = append(files, s.sockets[name])
	}
	return files
}

// clockConfig names them for the tsa.
func (s *sandbox) clockConfig() doc {
	host, _, _ := net.SplitHostPort(s.cmd.Listen)
	var sources []doc
	for _, name := range timeServers {
		sources = append(sources, doc{"kind": "ntp", "address": net.JoinHostPort(host, strconv.Itoa(s.state.Ports[name]))})
	}
	return doc{"sources": sources}
}

// tellTime serves NTP on the given addresses, or on inherited sockets fd:N, until ctx ends.
func tellTime(ctx context.Context, p *program, addresses []string) error {
	for _, address := range addresses {
		c, err := listenUDP(address)
		if err != nil {
			return usage("ntp: %w", err)
		}
		if err := itsme.CheckListen(c.LocalAddr().String()); err != nil {
			return usage("ntp: %w", err)
		}
		go func() {
			if err := (ntp.Simulated{Now: p.now}).Serve(ctx, c); err != nil {
				fmt.Fprintln(p.stderr, "tekend: ntp:", err)
			}
		}()
	}
	return nil
}

func listenUDP(address string) (net.PacketConn, error) {
	number, inherited := strings.CutPrefix(address, "fd:")
	if !inherited {
		return net.ListenPacket("udp", address)
	}
	fd, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%s is no descriptor", address)
	}
	f := os.NewFile(uintptr(fd), address)
	c, err := net.FilePacketConn(f)
	return c, errors.Join(err, f.Close())
}
