//go:build !validatecms

package client

import "context"

func (c *Client) finishCAdES(context.Context, *cancelled, *Preparation, *Product) (*Signed, error) {
	return nil, errf(CodeBadOptions, "CAdES cannot be judged yet")
}
