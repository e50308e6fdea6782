package tsa

import "time"

// ActRequest is an act of operators (foureyes.Act), its text and the approvals
// of two of them: PUT /v1/acts/{hash of the body} on the operators' socket of
// our own authority → ActDone. An equal call gets the stored outcome.
type ActRequest struct {
	Text      string   `json:"text"`
	Approvals []string `json:"approvals"`
}

// ActDone says that an act was done.
type ActDone struct {
	ID string    `json:"id"` // the act's
	At time.Time `json:"at"`
}
