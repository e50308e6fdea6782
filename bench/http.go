package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"tekend/interop/sandboxtest"
)

// send adds the provider's key and demands a success.
func send(f *sandboxtest.Flow, req *http.Request) io.ReadCloser {
	req.Header.Set("Authorization", "Bearer "+f.Key)
	resp := need(f.HTTP.Do(req))
	if resp.StatusCode >= 300 {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		_ = resp.Body.Close()
		must(fmt.Errorf("%s: %s", resp.Status, b))
	}
	return resp.Body
}

func decode(body io.ReadCloser, v any) {
	defer func() { _ = body.Close() }()
	must(json.NewDecoder(body).Decode(v))
}
