package main

import (
	"math"
	"strconv"
	"strings"
)

// visible is how a signature looks on its page.
type visible struct {
	Page int       `json:"page,omitempty"`
	Box  []float64 `json:"box,omitempty"`
	Text string    `json:"text,omitempty"`
}

// visible reads --visible.
func (c *signCmd) visible() ([]visible, error) {
	v := visible{Text: strings.ReplaceAll(c.Text, `\n`, "\n")}
	switch c.Visible {
	case "":
		return nil, nil
	case "field":
		return []visible{v}, nil
	}
	wrong := usage("--visible %s: give page, x, y, width and height, for example 1,72,72,200,60", c.Visible)
	page, rest, _ := strings.Cut(c.Visible, ",")
	var err error
	if v.Page, err = strconv.Atoi(page); err != nil {
		return nil, wrong
	}
	for text := range strings.SplitSeq(rest, ",") {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) { // which strconv reads and JSON does not have
			return nil, wrong
		}
		v.Box = append(v.Box, n)
	}
	if len(v.Box) != 4 {
		return nil, wrong
	}
	return []visible{v}, nil
}
