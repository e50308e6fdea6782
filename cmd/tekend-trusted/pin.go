package main

import (
	"os"
	"regexp"
	"strings"
)

// pinName is a name of an environment variable or argument that says PIN as a word of its own: HSM_PIN, --so-pin=….
var pinName = regexp.MustCompile(`(?i)(^|[^a-z0-9])pin([^a-z0-9]|$)`)

// refusePINs refuses a PIN where others on the machine can read it (reliability §2 no. 33): in the environment, or in the
// arguments, which nothing here would take from there anyway. Whoever put it there should hear that it is of no use and
// was seen. The text never repeats a value.
func refusePINs(environ, args []string) error {
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if value != "" && pinName.MatchString(name) {
			return usage("the environment has %s: a PIN is read from the file that pin_file names (mode 0600) and from nowhere else; "+
				"take it out and consider the PIN known", name)
		}
	}
	for _, a := range args {
		name, _, _ := strings.Cut(a, "=")
		if strings.HasPrefix(name, "-") && pinName.MatchString(name) {
			return usage("the arguments have %s: arguments are seen by everyone on the machine; a PIN is read from the file that pin_file names", name)
		}
	}
	return nil
}

// refusePIN looks at this process.
func refusePIN(args []string) error { return refusePINs(os.Environ(), args) }
