package ntp

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
)

// NTS key establishment (RFC 8915 §4): a TLS 1.3 connection on which client and server agree on what follows, and the server gives
// cookies, in which it keeps the keys itself. The keys come out of the TLS session.

// Record types (RFC 8915 §4.1).
const (
	recEnd      = 0
	recProtocol = 1
	recError    = 2
	recWarning  = 3
	recAEAD     = 4
	recCookie   = 5
	recServer   = 6
	recPort     = 7

	critical = 0x8000
)

const (
	alpn        = "ntske/1"
	kePort      = "4460"
	exporter    = "EXPORTER-network-time-security"
	protocolNTP = 0
	aeadSIV256  = 15 // AEAD_AES_SIV_CMAC_256
	maxCookies  = 8
	// maxKE bounds the server's part: eight cookies of some hundred octets, and a name.
	maxKE     = 16 << 10
	maxCookie = 1 << 10
)

// keys are what an establishment leaves.
type keys struct {
	there, back *siv // client to server, server to client
	cookies     [][]byte
	address     string // of the NTP server
}

// establish asks the server at host:port for keys and cookies.
func establish(ctx context.Context, cfg *tls.Config, address string) (*keys, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = address, kePort
	}
	cfg = cfg.Clone()
	cfg.MinVersion, cfg.NextProtos, cfg.ServerName = tls.VersionTLS13, []string{alpn}, host
	raw, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("key establishment: %w", err)
	}
	conn := raw.(*tls.Conn)
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.NetConn().Close() })
	defer stop()
	if conn.ConnectionState().NegotiatedProtocol != alpn {
		return nil, errors.New("key establishment: the server does not speak ntske/1")
	}
	if _, err := conn.Write(keRequest()); err != nil {
		return nil, fmt.Errorf("key establishment: %w", err)
	}
	k := &keys{address: net.JoinHostPort(host, "123")}
	if err := k.read(io.LimitReader(conn, maxKE)); err != nil {
		return nil, err
	}
	return k, k.export(conn)
}

// keRequest asks for NTPv4 with the one AEAD that everybody has.
func keRequest() (b []byte) {
	b = record(b, recProtocol|critical, binary.BigEndian.AppendUint16(nil, protocolNTP))
	b = record(b, recAEAD|critical, binary.BigEndian.AppendUint16(nil, aeadSIV256))
	return record(b, recEnd|critical, nil)
}

func record(b []byte, kind uint16, body []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	return append(b, body...)
}

// read takes the server's records until the end.
func (k *keys) read(r io.Reader) error {
	protocol, aead := false, false
	for {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return errors.New("key establishment: the answer is cut off, or too long")
		}
		kind := binary.BigEndian.Uint16(head[:])
		body := make([]byte, binary.BigEndian.Uint16(head[2:]))
		if _, err := io.ReadFull(r, body); err != nil {
			return errors.New("key establishment: the answer is cut off, or too long")
		}
		switch kind &^ critical {
		case recEnd:
			if !protocol || !aead || len(k.cookies) == 0 {
				return errors.New("key establishment: the server agreed to nothing, or gave no cookie")
			}
			return nil
		case recProtocol:
			protocol = isNumber(body, protocolNTP)
		case recAEAD:
			aead = isNumber(body, aeadSIV256)
		case recError, recWarning:
			return fmt.Errorf("key establishment: the server refuses: %x", body[:min(len(body), 2)])
		default:
			if err := k.take(kind, body); err != nil {
				return err
			}
		}
	}
}

func isNumber(body []byte, n uint16) bool {
	return len(body) == 2 && binary.BigEndian.Uint16(body) == n
}

// take keeps cookies and the NTP server's address. Who speaks for the name in the certificate may name another server
// (RFC 8915 §4.1.7): its answers are under the same keys.
func (k *keys) take(kind uint16, body []byte) error {
	host, port, err := net.SplitHostPort(k.address)
	if err != nil {
		return err
	}
	switch kind &^ critical {
	case recCookie:
		if len(body) == 0 || len(body) > maxCookie {
			return errors.New("key establishment: an empty cookie, or one of more than 1 kB")
		}
		if len(k.cookies) < maxCookies {
			k.cookies = append(k.cookies, body)
		}
	case recServer:
		if len(body) == 0 || len(body) > 255 {
			return errors.New("key establishment: the server's name is no name")
		}
		k.address = net.JoinHostPort(string(body), port)
	case recPort:
		if len(body) != 2 {
			return errors.New("key establishment: the port is no number")
		}
		k.address = net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(body))))
	default:
		if kind&critical != 0 {
			return fmt.Errorf("key establishment: an unknown critical record %d", kind&^critical)
		}
	}
	return nil
}

// export takes both keys out of the TLS session (RFC 8915 §5.1).
func (k *keys) export(conn *tls.Conn) error {
	state := conn.ConnectionState()
	for direction, to := range []**siv{&k.there, &k.back} {
		about := []byte{0, protocolNTP, 0, aeadSIV256, byte(direction)}
		key, err := state.ExportKeyingMaterial(exporter, about, sivKey)
		if err != nil {
			return fmt.Errorf("key establishment: %w", err)
		}
		if *to, err = newSIV(key); err != nil {
			return err
		}
	}
	return nil
}
