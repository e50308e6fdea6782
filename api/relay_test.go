package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"tekend/api"
	"tekend/tsa"
	"tekend/wire"
)

func TestWhatTheCAPublishesIsRelayed(t *testing.T) {
	d := open(t, nil)
	d.get("/pki/ca/root.crt").problem(t, "ca_unavailable", 503) // nobody listens
	role(t, d.dir, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/published/ca/root.crt", "/v1/published/ca/issuing-ca-2.crt":
			w.Header().Set("Content-Type", "text/html") // not what browsers get
			_, _ = io.WriteString(w, "DER of "+r.URL.Path)
		case "/v1/published/ca/tsu.crt":
			wire.Fail(w, &wire.Error{Status: 500, Code: "internal", Detail: "told by the role"})
		default:
			wire.Fail(w, &wire.Error{Status: 404, Code: "not_found", Detail: "no such file"})
		}
	}))
	for path, want := range map[string][3]string{
		"/pki/ca/root.crt":         {"application/pkix-cert", "public, max-age=86400", "DER of /v1/published/ca/root.crt"},
		"/pki/ca/issuing-ca-2.crt": {"application/pkix-cert", "public, max-age=86400", "DER of /v1/published/ca/issuing-ca-2.crt"},
	} {
		a := d.get(path)
		if a.status != 200 || a.header.Get("Content-Type") != want[0] || a.header.Get("Cache-Control") != want[1] || string(a.body) != want[2] || a.header.Get("ETag") == "" {
			t.Errorf("%s: %d %v %s", path, a.status, a.header, a.body)
		}
	}
	d.get("/pki/ca/other.crt").problem(t, "not_found", 404)
	for _, path := range []string{"/pki/ca/root.crl", "/pki/crl/root.crt", "/pki/ca/..%2f..%2fkeys.crt", "/pki/ca/ROOT.crt", "/pki/ca/" + strings.Repeat("x", 100) + ".crt"} {
		d.get(path).problem(t, "not_found", 404)
	}
	a := d.get("/pki/ca/tsu.crt")
	a.problem(t, "ca_unavailable", 503)
	if a.header.Get("Retry-After") != "30" || strings.Contains(string(a.body), "told by the role") || !strings.Contains(d.log.String(), "told by the role") {
		t.Errorf("Retry-After %q, %s", a.header.Get("Retry-After"), a.body)
	}
}

func TestTimeStampRequestsAreRelayedUpTo64KiB(t *testing.T) {
	const media = "application/timestamp-query"
	var got []byte
	var kind any
	down := false
	d := open(t, func(s *setup) {
		s.dep.TSA = api.RelayFunc(func(ctx context.Context, query []byte) ([]byte, error) {
			got, kind = query, ctx
			if down {
				return nil, errors.New("dial unix: " + "no such file")
			}
			return append([]byte("reply to "), query...), nil
		})
	})
	a := d.post("/tsa", media, "query")
	if a.status != 200 || a.header.Get("Content-Type") != "application/timestamp-reply" || string(a.body) != "reply to query" {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
	if _, isGin := kind.(*gin.Context); isGin {
		t.Error("a gin.Context left its handler")
	}
	if a := d.post("/tsa", media, strings.Repeat("x", 64<<10)); a.status != 200 || len(got) != 64<<10 {
		t.Errorf("64 KiB: %d", a.status)
	}
	got = nil
	req := d.request(http.MethodPost, "/tsa", &endless{64<<10 + 1}, "Content-Type", media)
	req.ContentLength = -1
	for _, a := range []answer{d.post("/tsa", media, strings.Repeat("x", 64<<10+1)), d.do(req)} {
		r, err := tsa.ParseResponse(a.body)
		if err != nil || a.status != 200 || a.header.Get("Content-Type") != "application/timestamp-reply" || r.Status != 2 || r.Info != tsa.BadDataFormat {
			t.Errorf("more than 64 KiB: %d %+v %v", a.status, r, err)
		}
	}
	d.post("/tsa", "application/octet-stream", "x").problem(t, "unsupported_media_type", 415)
	if got != nil {
		t.Error("a refused request was relayed")
	}
	down = true
	a = d.post("/tsa", media, "query")
	p := a.problem(t, "tsa_unavailable", 503)
	if !p.Retryable || a.header.Get("Retry-After") == "" || strings.Contains(string(a.body), "unix") {
		t.Errorf("%s", a.body)
	}
	if !strings.Contains(d.log.String(), "no such file") {
		t.Error("the log does not say why")
	}
}

// TestTheCallersLeavingIsHeard: gin's own context would not tell (ContextWithFallback), and it must not be kept.
func TestTheCallersLeavingIsHeard(t *testing.T) {
	entered, left := make(chan struct{}), make(chan error, 1)
	d := open(t, func(s *setup) {
		s.dep.TSA = api.RelayFunc(func(ctx context.Context, _ []byte) ([]byte, error) {
			close(entered)
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Second):
			}
			left <- ctx.Err()
			return nil, ctx.Err()
		})
	})
	ctx, cancel := context.WithCancel(t.Context())
	req := d.request(http.MethodPost, "/tsa", strings.NewReader("x"), "Content-Type", "application/timestamp-query").WithContext(ctx)
	go func() {
		<-entered
		cancel()
	}()
	if resp, err := d.hc.Do(req); err == nil {
		_ = resp.Body.Close()
		t.Errorf("answered %d", resp.StatusCode)
	}
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the relay saw %v", err)
	}
}

func TestAPanicIsAProblemAndTellsNothing(t *testing.T) {
	d := open(t, func(s *setup) {
		s.dep.TSA = api.RelayFunc(func(context.Context, []byte) ([]byte, error) { panic("boom " + secret) })
		s.dep.Health = func(context.Context) (api.HealthStatus, string) {
			var none []api.HealthStatus
			return none[len(none)], ""
		}
	})
	d.post("/tsa", "application/timestamp-query", "x").problem(t, "internal", 500)
	d.get("/health").problem(t, "internal", 500)
	log := d.log.String()
	if strings.Count(log, `"msg":"panic"`) != 2 || !strings.Contains(log, "index out of range") || !strings.Contains(log, "relay_test.go") {
		t.Errorf("log:\n%s", log)
	}
}

func TestHealthIsAskedForOnceInTwoSeconds(t *testing.T) {
	now := time.Now()
	status, asked := api.UP, 0
	why := map[api.HealthStatus]string{api.DEGRADED: "tsa: not ready"}
	d := open(t, func(s *setup) {
		s.api.Now = func() time.Time { return now }
		s.dep.Health = func(context.Context) (api.HealthStatus, string) { asked++; return status, why[status] }
	})
	for _, c := range []struct {
		status api.HealthStatus
		want   int
		body   string
	}{{api.UP, 200, "UP"}, {api.DEGRADED, 200, "DEGRADED"}, {api.DOWN, 503, "DOWN"}, {"nonsense", 503, "DOWN"}} {
		status = c.status
		for range 5 {
			a := d.get("/health")
			var h api.Health
			if err := json.Unmarshal(a.body, &h); err != nil || a.status != c.want || string(h.Status) != c.body || (h.Reason != nil) != (why[c.status] != "") {
				t.Errorf("%s: %d %s", c.status, a.status, a.body)
			}
		}
		now = now.Add(2 * time.Second)
	}
	if asked != 4 {
		t.Errorf("asked %d times", asked)
	}
}

func TestTheContractIsServedAsItIsWritten(t *testing.T) {
	d := open(t, nil)
	var doc struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]any
	}
	a := d.get("/openapi.json")
	a.into(t, &doc)
	if doc.OpenAPI != "3.1.0" || len(doc.Paths) < 14 {
		t.Errorf("%s, %d paths", doc.OpenAPI, len(doc.Paths))
	}
	docs := string(d.get("/docs").body)
	for path := range doc.Paths {
		if !strings.Contains(docs, path) {
			t.Errorf("/docs lacks %s", path)
		}
	}
	if strings.Contains(docs, "<script") || strings.Contains(docs, "http://") || strings.Contains(docs, "//cdn") {
		t.Error("/docs asks for something from elsewhere")
	}
}

// TestOneLineForEachRequest reads the access log.
func TestOneLineForEachRequest(t *testing.T) {
	d := open(t, nil)
	r, token := d.order(`{}`)
	before := strings.Count(d.log.String(), `"msg":"http"`)
	d.get("/sign/" + token + "?lang=en&x=" + secret)
	d.get(orders + "/" + r.Id)
	d.get("/nothing/" + secret)
	d.do(d.request(strings.Repeat("X", 1000), "/health", nil))
	var lines []map[string]any
	for line := range strings.Lines(d.log.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		if m["msg"] == "http" {
			lines = append(lines, m)
		}
	}
	lines = lines[before:]
	if len(lines) != 4 {
		t.Fatalf("%d lines", len(lines))
	}
	for i, want := range []struct {
		route, client, method string
		status                float64
	}{{"/sign/:token", "", "GET", 200}, {"/v1/signature-requests/:id", "acme", "GET", 200}, {"-", "", "GET", 404}, {"-", "", "other", 405}} {
		l := lines[i]
		if l["route"] != want.route || l["client"] != want.client || l["method"] != want.method || l["status"] != want.status || l["request_id"] == "" || l["duration"] == nil {
			t.Errorf("%v, want %+v", l, want)
		}
	}
	log := d.log.String()
	for _, never := range []string{token, r.Id, "contract.pdf", "lang=en", "127.0.0.1"} {
		if strings.Contains(log, never) {
			t.Errorf("the log holds %s", never)
		}
	}
}

func TestAFrontThatIsNotWholeDoesNotStart(t *testing.T) {
	d := open(t, nil)
	good := api.Config{Now: time.Now, Log: nil, PublicURL: "https://sign.example"}
	for name, c := range map[string]struct {
		cfg api.Config
		dep api.Dependencies
	}{
		"no log":          {good, *d.dep},
		"no dependencies": {api.Config{Now: time.Now, PublicURL: "https://sign.example"}, api.Dependencies{}},
		"no address":      {api.Config{Now: time.Now}, *d.dep},
	} {
		if h, err := api.New(c.cfg, c.dep); err == nil || h != nil {
			t.Errorf("%s: started", name)
		}
	}
}
