package pdf

import "testing"

// TestGoodRowByEveryByte: at every place of a row, each byte is what 7.5.4 allows there or makes the row odd.
func TestGoodRowByEveryByte(t *testing.T) {
	for _, good := range []string{"0123456789 65535 n\r\n", "9999999999 00000 f \n"} {
		for at := range good {
			for c := range 256 {
				b := []byte(good)
				b[at] = byte(c)
				digit := c >= '0' && c <= '9'
				want := map[bool]bool{
					at < 10 || at > 10 && at < 16: digit,
					at == 10 || at == 16:          c == ' ',
					at == 17:                      c == 'n' || c == 'f',
					at == 18:                      c == ' ' || c == '\r',
					at == 19:                      c == '\n' || c == '\r',
				}[true]
				if goodRow(b) != want {
					t.Errorf("%q: %v", b, !want)
				}
			}
		}
	}
	if goodRow([]byte("0123456789 65535 n\r")) {
		t.Error("a row of 19 bytes")
	}
}
