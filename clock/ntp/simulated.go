package ntp

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"time"

	"tekend/clock"
)

// Simulated is a server for the sandbox and for tests: a clock of stratum 1 that is as wrong as it is told.
type Simulated struct {
	Now   func() time.Time
	State func() State // as it is at each question; nil: all well
}

// State is what is wrong with a simulated server.
type State struct {
	Ahead        time.Duration // of Now
	Dispersion   time.Duration // what it says of itself, beyond a tenth of a millisecond
	Leap         clock.Leap
	Unsynchro    bool // it says that it has no time
	Refuses      bool // it asks to be left alone (kiss of death, RATE)
	Silent       bool
	WrongAnswers bool // it answers another question
}

const (
	packet    = 48         // octets of a message without extensions (RFC 5905 §7.3)
	unixEpoch = 2208988800 // seconds from 1900 to 1970
	client    = 3          // modes
	server    = 4
)

// Serve answers on c until ctx ends, and closes c.
func (s Simulated) Serve(ctx context.Context, c net.PacketConn) error {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	buf := make([]byte, 1024)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		if answer := s.answer(buf[:n]); answer != nil {
			_, _ = c.WriteTo(answer, from) // who gets none asks again
		}
	}
}

// answer makes the answer to a question, nil when there is none.
func (s Simulated) answer(q []byte) []byte {
	var st State
	if s.State != nil {
		st = s.State()
	}
	if st.Silent || len(q) < packet || q[0]&7 != client {
		return nil
	}
	now := s.Now().Add(st.Ahead)
	a := make([]byte, packet)
	leap := byte(st.Leap)
	if st.Unsynchro {
		leap = 3
	}
	a[0] = leap<<6 | q[0]&0x38 | server
	a[1], a[2], a[3] = 1, q[2], 0xec // stratum, poll, precision of 2^-20 s
	binary.BigEndian.PutUint32(a[8:], uint32((st.Dispersion+100*time.Microsecond)*1<<16/time.Second))
	copy(a[12:16], "GPS\x00")
	if st.Refuses {
		a[1] = 0
		copy(a[12:16], "RATE")
	}
	binary.BigEndian.PutUint64(a[16:], stamp(now.Add(-time.Second)))
	copy(a[24:32], q[40:48])
	if st.WrongAnswers {
		a[31] ^= 1
	}
	binary.BigEndian.PutUint64(a[32:], stamp(now))
	binary.BigEndian.PutUint64(a[40:], stamp(now))
	return a
}

// stamp is a time in NTP's form: seconds since 1900, modulo 2^32, and a fraction.
func stamp(t time.Time) uint64 {
	return uint64(t.Unix()+unixEpoch)<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}
