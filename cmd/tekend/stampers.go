package main

import (
	"net/http"
	"net/url"
	"time"

	"tekend/signer"
	"tekend/tsa"
)

// otherTSA is a time-stamping authority of somebody else.
type otherTSA struct {
	// URL is where requests are posted, https or, where its policy allows that, http. Example: https://tsa.example/tsa
	URL string `yaml:"url"`
	// RootFile is a PEM file with the roots that its stamps lead to. Required. In `tsas` they must also be in `roots`: a product with
	// a stamp that does not lead there is not released.
	RootFile string `yaml:"root_file"`
	// Policies are its policies that are accepted, dotted. Default any.
	Policies []string `yaml:"policies"`
	// Timeout bounds one request. Default 10s.
	Timeout time.Duration `yaml:"timeout"`
}

// outgoing is the client for all of them: no redirects, because the address is a decision of the operator.
func outgoing() *http.Client {
	return &http.Client{
		Timeout:       30 * time.Second, // above what a pool and otherTSA.Timeout allow
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// client makes one's client.
func (t otherTSA) client(hc *http.Client, now func() time.Time) (*tsa.Client, error) {
	roots, err := loadRoots(t.RootFile)
	if err != nil {
		return nil, err
	}
	if u, err := url.Parse(t.URL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, usage("the url of a time-stamping authority is missing, or neither https nor http")
	}
	return tsa.NewClient(tsa.ClientConfig{URL: t.URL, Roots: roots, Policies: t.Policies, Timeout: t.Timeout, Now: now}, hc), nil
}

// newEvidenceStampers makes the clients of those that stamp evidence beside ours: a stamp of our own proves nothing against
// ourselves. Evidence is complete with a stamp of each: one that does not answer delays it.
func newEvidenceStampers(list []otherTSA, now func() time.Time) ([]signer.Stamper, error) {
	var all []signer.Stamper
	hc := outgoing()
	for _, t := range list {
		c, err := t.client(hc, now)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// newStamper asks our own time-stamping role first, then the others in their order.
func newStamper(cfg frontConfig, now func() time.Time) (*tsa.Pool, error) {
	roots, err := loadRoots(cfg.Roots)
	if err != nil {
		return nil, err
	}
	members := []tsa.Member{{Name: "our own", Client: tsa.NewClient(tsa.ClientConfig{
		Socket: cfg.Sockets.TSA, Policies: cfg.TSAPolicies, Roots: roots, Timeout: 10 * time.Second, Now: now,
	}, nil)}}
	hc := outgoing()
	for _, t := range cfg.TSAs {
		c, err := t.client(hc, now)
		if err != nil {
			return nil, err
		}
		members = append(members, tsa.Member{Name: t.URL, Client: c})
	}
	return tsa.NewPool(tsa.PoolConfig{Now: now}, members...)
}
