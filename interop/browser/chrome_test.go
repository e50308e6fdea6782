//go:build browser

package browser_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// phone is a browser of the size of a phone, with a person who reads lang.
type phone struct {
	t    *testing.T
	ctx  context.Context
	lang string
	took map[string]int // screenshots by name

	// what the page complained about: errors of the console, policy violations, requests to elsewhere
	complaints chan string
}

// chromium stands where Debian puts it.
const chromium = "/usr/bin/chromium"

// open starts a browser. The flags are those that work on a machine with a closed network.
func open(t *testing.T, lang string, allowed ...string) *phone {
	t.Helper()
	if _, err := os.Stat(chromium); err != nil {
		t.Fatalf("a browser is needed: apt-get install chromium (%v)", err)
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium), chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("hide-scrollbars", true))
	alloc, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(cancel)
	p := &phone{t: t, ctx: ctx, lang: lang, took: map[string]int{}, complaints: make(chan string, 100)}
	if err := chromedp.Listen(ctx, func(ev any) { p.hear(ev, allowed) }); err != nil {
		t.Fatal(err)
	}
	set(p, network.Enable, network.EnableParams{})
	set(p, log.Enable, cdp.Empty{})
	set(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: 390, Height: 844, DeviceScaleFactor: 2, Mobile: true})
	set(p, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: true})
	set(p, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Europe/Brussels"})
	set(p, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{
		UserAgent:      "Mozilla/5.0 (Linux; Android 15; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Mobile Safari/537.36",
		AcceptLanguage: lang,
	})
	return p
}

// set gives a command of the browser's protocol.
func set[P, R any](p *phone, c cdp.Command[P, R], params P) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, c, params); err != nil {
		p.t.Fatal(err)
	}
}

func (p *phone) hear(ev any, allowed []string) {
	switch ev := ev.(type) {
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.EntryLevelError {
			p.complain(ev.Entry.Text + " " + ev.Entry.URL)
		}
	case *cdpruntime.EventExceptionThrown:
		p.complain(ev.ExceptionDetails.Text)
	case *network.EventRequestWillBeSent:
		for _, a := range allowed {
			if strings.HasPrefix(ev.Request.URL, a) {
				return
			}
		}
		p.complain("asks for " + ev.Request.URL)
	}
}

func (p *phone) complain(text string) {
	select {
	case p.complaints <- text:
	default:
	}
}

func (p *phone) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.broken(err)
	}
}

// get runs an action that has a result.
func get[T any](p *phone, a chromedp.Action[T]) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, a)
	if err != nil {
		p.broken(err)
	}
	return v
}

// until waits for an expression to become true, over as many loadings of pages as it takes: a page that goes away takes
// the expression with it, which is no fault.
func (p *phone) until(js string) {
	p.t.Helper()
	for range 600 {
		if yes, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](js)); err == nil && yes {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.broken(fmt.Errorf("never true: %s", js))
}

// maybe evaluates an expression that gives a text; "" when the page goes away meanwhile.
func (p *phone) maybe(js string) string {
	s, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](js))
	if err != nil {
		return ""
	}
	return s
}

func (p *phone) broken(err error) {
	p.t.Helper()
	where, _ := chromedp.Run(p.ctx, chromedp.Location())
	p.shot("failed")
	p.t.Fatalf("at %s: %v", where, err)
}

// shots is where screenshots go, for people to look at.
func shots(t *testing.T) string {
	dir := os.Getenv("TEKEND_SHOTS")
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "tekend-shots")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// shot keeps a picture of the whole page.
func (p *phone) shot(name string) {
	p.t.Helper()
	png, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.t.Errorf("screenshot %s: %v", name, err)
		return
	}
	if err := os.WriteFile(filepath.Join(shots(p.t), p.lang+"-"+name+".png"), png, 0o644); err != nil {
		p.t.Error(err)
	}
}

// usable measures what a phone needs: nothing is wider than the screen, targets are large, text has contrast, a reader
// hears a name for each control.
const usable = `(() => {
  const out = [];
  if (document.documentElement.scrollWidth > innerWidth) out.push("wider than the screen: " + document.documentElement.scrollWidth);
  if (!document.documentElement.lang) out.push("no lang");
  if (document.querySelectorAll("h1").length !== 1) out.push("not one h1");
  const lum = (c) => { const v = c.map((x) => { x /= 255; return x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4; }); return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
  const rgb = (s) => { const m = s.match(/[\d.]+/g).map(Number); return { c: m.slice(0, 3), a: m.length > 3 ? m[3] : 1 }; };
  const ground = (e) => { for (; e; e = e.parentElement) { const b = rgb(getComputedStyle(e).backgroundColor); if (b.a === 1) return b.c; } return [255, 255, 255]; };
  for (const e of document.querySelectorAll("a, button, summary, input:not([type=hidden])")) {
    const r = e.getBoundingClientRect();
    const name = (e.getAttribute("aria-label") || e.innerText || (e.labels && e.labels[0] && e.labels[0].innerText) || "").trim();
    if (r.width === 0) continue;
    if (!name) out.push("no name: " + e.outerHTML);
    const big = e.tagName === "INPUT" ? r.height >= 24 : r.height >= 44;
    if (!big) out.push("small target (" + Math.round(r.height) + " px): " + name);
  }
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n = walk.nextNode(); n; n = walk.nextNode()) {
    const e = n.parentElement;
    if (!n.textContent.trim() || e.closest("noscript, script, style") || e.getBoundingClientRect().width === 0) continue;
    const s = getComputedStyle(e);
    const [x, y] = [lum(rgb(s.color).c), lum(ground(e))].sort((a, b) => b - a);
    const ratio = (x + 0.05) / (y + 0.05);
    if (ratio < 4.5) out.push("contrast " + ratio.toFixed(1) + ": " + n.textContent.trim().slice(0, 40));
    if (parseFloat(s.fontSize) < 13) out.push("small text: " + n.textContent.trim().slice(0, 40));
  }
  return out;
})()`

// look measures and keeps the page as it is now.
func (p *phone) look(name string) {
	p.t.Helper()
	for _, scheme := range []string{"dark", "light"} {
		set(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		for _, f := range get(p, chromedp.Evaluate[[]string](usable)) {
			p.t.Errorf("%s %s (%s): %s", p.lang, name, scheme, f)
		}
		if scheme == "light" {
			p.shot(name)
		} else if name == "confirm" {
			p.shot(name + "-dark")
		}
	}
	p.took[name]++
}

func (p *phone) text(sel string) string {
	p.t.Helper()
	return get(p, chromedp.Text(sel))
}

func (p *phone) where() string {
	p.t.Helper()
	return get(p, chromedp.Location())
}

// silent fails the test for everything the pages complained about.
func (p *phone) silent() {
	p.t.Helper()
	for {
		select {
		case c := <-p.complaints:
			p.t.Errorf("%s: %s", p.lang, c)
		default:
			return
		}
	}
}
