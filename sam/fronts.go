package sam

import (
	"context"
	"net/url"
)

// Reasons about a front's mark.
const (
	CodeFrontBehind = "front_behind" // the front's database was put back; two operators must decide
	CodeMarkMoved   = "mark_moved"   // another process of the front told a later mark meanwhile; read it and try again
)

// Mark is how far a front's database has come: a number that grows and a random
// link that no other history has at that number. Number 0: none.
type Mark struct {
	Number int64  `json:"number"`
	Link   []byte `json:"link"` // 16 bytes
}

// MarkRequest tells a front's mark. After is the link of the mark that the sam
// keeps, which the front found in its own database; empty when it did not find
// it, which says that its database was put back. PUT /v1/fronts/{name}/mark →
// Mark.
//
// It is a help for the front's operators. An owned front can say what it likes:
// that nothing is signed twice does not rest on it.
type MarkRequest struct {
	Mark  Mark   `json:"mark"`
	After []byte `json:"after"`
}

// Mark gives the mark that the sam keeps of a front. GET /v1/fronts/{name}/mark.
func (c *Client) Mark(ctx context.Context, front string) (Mark, error) {
	return get[Mark](ctx, c, frontMark(front))
}

// TellMark has the sam keep a mark.
func (c *Client) TellMark(ctx context.Context, front string, m MarkRequest) (Mark, error) {
	return putAt[Mark](ctx, c, frontMark(front), m)
}

func frontMark(front string) string { return "/v1/fronts/" + url.PathEscape(front) + "/mark" }
