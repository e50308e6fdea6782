package main

import (
	"net/http"
	"time"

	"tekend/signer"
	"tekend/tsa"
)

// evidenceTSA is a time-stamping authority of somebody else, which stamps
// evidence beside ours: a stamp of our own proves nothing against ourselves.
type evidenceTSA struct {
	URL string `yaml:"url"` // where requests are posted, for example https://tsa.example/tsa
	// RootFile is a PEM file with the roots that its stamps lead to.
	RootFile string `yaml:"root_file"`
}

// newEvidenceStampers makes their clients. Evidence is complete with a stamp of
// each: one that does not answer delays it.
func newEvidenceStampers(list []evidenceTSA, now func() time.Time) ([]signer.Stamper, error) {
	var all []signer.Stamper
	hc := &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for _, t := range list {
		roots, err := loadRoots(t.RootFile)
		if err != nil {
			return nil, err
		}
		if t.URL == "" {
			return nil, usage("evidence_tsas: url is missing")
		}
		all = append(all, tsa.NewClient(tsa.ClientConfig{URL: t.URL, Roots: roots, Now: now}, hc))
	}
	return all, nil
}
