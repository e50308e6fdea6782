package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"tekend/interop/sandboxtest"
)

// send adds the provider's key where it belongs and demands a success.
func send(f *sandboxtest.Flow, req *http.Request) io.ReadCloser {
	if strings.HasPrefix(req.URL.Path, "/v1/") {
		req.Header.Set("Authorization", "Bearer "+f.Key)
	}
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
