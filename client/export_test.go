package client

import "time"

// Hurry makes a test's client give up a call earlier.
func (c *Client) Hurry(longest time.Duration) { c.longest = longest }
