package sandbox

import (
	"errors"
	"fmt"
	"strings"
)

// A QR code of one fixed kind (ISO/IEC 18004): version 5, level L, byte mode,
// mask 0. It holds 106 bytes, which is more than our addresses have; level L is
// enough on a screen, and with one block no interleaving is needed.
const (
	qrSize     = 37
	qrData     = 108 // data codewords
	qrCheck    = 26  // error correction codewords
	qrMaxBytes = 106
)

type qrGrid struct {
	dark, fixed [qrSize][qrSize]bool
}

// qrSVG draws text as an SVG image with the quiet zone of four modules.
func qrSVG(text string) (string, error) {
	if len(text) > qrMaxBytes {
		return "", errors.New("sandbox: too long for this QR code")
	}
	g := &qrGrid{}
	g.patterns()
	g.place(qrCodewords(text))
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h%[1]dv%[1]dH0z"/><path d="`, qrSize+8, qrSize+8)
	for y := range qrSize {
		for x := range qrSize {
			if g.dark[y][x] {
				fmt.Fprintf(&b, "M%d %dh1v1h-1z", x+4, y+4)
			}
		}
	}
	b.WriteString(`"/></svg>`)
	return b.String(), nil
}

// qrCodewords: mode 0100, length, bytes, terminator, padding (§7.4), then the
// Reed-Solomon remainder (§7.5).
func qrCodewords(text string) []byte {
	data := make([]byte, 0, qrData+qrCheck)
	data = append(data, 0x40|byte(len(text)>>4))
	carry := byte(len(text) << 4)
	for i := range len(text) {
		data = append(data, carry|text[i]>>4)
		carry = text[i] << 4
	}
	data = append(data, carry)
	for pad := byte(0xEC); len(data) < qrData; pad ^= 0xEC ^ 0x11 {
		data = append(data, pad)
	}
	return append(data, qrRemainder(data)...)
}

// gfMul multiplies in GF(256) modulo x^8+x^4+x^3+x^2+1.
func gfMul(a, b byte) byte {
	var p byte
	for ; b > 0; b >>= 1 {
		if b&1 == 1 {
			p ^= a
		}
		high := a & 0x80
		a <<= 1
		if high != 0 {
			a ^= 0x1D
		}
	}
	return p
}

func qrRemainder(data []byte) []byte {
	// The generator is the product of (x - 2^i), highest power left out.
	gen := make([]byte, qrCheck)
	gen[qrCheck-1] = 1
	root := byte(1)
	for range qrCheck {
		for j := range gen {
			gen[j] = gfMul(gen[j], root)
			if j+1 < len(gen) {
				gen[j] ^= gen[j+1]
			}
		}
		root = gfMul(root, 2)
	}
	rest := make([]byte, qrCheck)
	for _, b := range data {
		factor := b ^ rest[0]
		copy(rest, rest[1:])
		rest[qrCheck-1] = 0
		for j := range rest {
			rest[j] ^= gfMul(gen[j], factor)
		}
	}
	return rest
}

func (g *qrGrid) set(x, y int, dark bool) {
	if x >= 0 && y >= 0 && x < qrSize && y < qrSize {
		g.dark[y][x], g.fixed[y][x] = dark, true
	}
}

// patterns draws everything that is not data (§6.3, §7.9).
func (g *qrGrid) patterns() {
	for i := range qrSize {
		g.set(6, i, i%2 == 0)
		g.set(i, 6, i%2 == 0)
	}
	for _, c := range [][2]int{{3, 3}, {qrSize - 4, 3}, {3, qrSize - 4}} {
		g.square(c[0], c[1], 4, func(d int) bool { return d != 2 && d != 4 })
	}
	g.square(30, 30, 2, func(d int) bool { return d != 1 }) // alignment of version 5
	// Format information of level L, mask 0 (Table C.1).
	const format = 0b111011111000100
	for i := range 15 {
		bit := format>>i&1 == 1
		switch {
		case i < 6:
			g.set(8, i, bit)
		case i < 8:
			g.set(8, i+1, bit)
		case i == 8:
			g.set(7, 8, bit)
		default:
			g.set(14-i, 8, bit)
		}
		if i < 8 {
			g.set(qrSize-1-i, 8, bit)
		} else {
			g.set(8, qrSize-15+i, bit)
		}
	}
	g.set(8, qrSize-8, true)
}

// square draws rings around a centre; dark tells which distances are dark.
func (g *qrGrid) square(cx, cy, radius int, dark func(distance int) bool) {
	for dy := -radius; dy <= radius; dy++ {
		for dx := -radius; dx <= radius; dx++ {
			g.set(cx+dx, cy+dy, dark(max(dx, -dx, dy, -dy)))
		}
	}
}

// place fills the codewords in, two columns at a time from the right, upwards
// and downwards in turn, and applies mask 0 (§7.7.3, §7.8).
func (g *qrGrid) place(words []byte) {
	i := 0
	up := true
	for right := qrSize - 1; right > 0; right -= 2 {
		if right == 6 { // the timing column holds no data
			right--
		}
		for step := range qrSize {
			y := step
			if up {
				y = qrSize - 1 - step
			}
			for _, x := range []int{right, right - 1} {
				if g.fixed[y][x] {
					continue
				}
				bit := i < len(words)*8 && words[i/8]>>(7-i%8)&1 == 1
				g.dark[y][x] = bit != ((x+y)%2 == 0)
				i++
			}
		}
		up = !up
	}
}
